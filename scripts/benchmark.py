"""Measure pcseg against named alternatives: ``python scripts/benchmark.py NAME --json FILE``."""

import argparse
import importlib
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pcseg.errors import UserError, exit_on_user_error

FOLDER = Path(__file__).parent / "benchmarks"


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "harness")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("name", help=f"one of {', '.join(names())}, all")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    args = parser.parse_args()
    if args.name not in [*names(), "all"]:
        raise UserError(f"benchmark {args.name!r} is unknown; choose from {', '.join(names())}, all")
    chosen = names() if args.name == "all" else [args.name]
    rows = [row for name in chosen for row in importlib.import_module(f"benchmarks.{name}").run()]
    show(rows)
    if args.json:
        args.json.write_text(json.dumps([row.as_dict() for row in rows], indent=1) + "\n")


def show(rows: list) -> None:
    table = Table("case", "ours s", "other", "other s", "speed-up", "ours MB", "other MB")
    for row in rows:
        numbers = [row.ours_s, row.other_s, row.speedup, row.ours_peak_mb, row.other_peak_mb]
        texts = ["" if number is None else f"{number:.4g}" for number in numbers]
        table.add_row(row.case, texts[0], row.other, *texts[1:])
    Console(width=140).print(table)


if __name__ == "__main__":
    exit_on_user_error(main)
