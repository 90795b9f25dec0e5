"""Measure pcseg against named alternatives: ``python scripts/benchmark.py NAME --json FILE``."""

import argparse
import importlib
import json
import os
from pathlib import Path

import torch
from benchmarks.harness import Row
from rich.console import Console
from rich.table import Table

from pcseg.errors import UserError, exit_on_user_error
from pcseg.files import write_text

FOLDER = Path(__file__).parent / "benchmarks"


def names() -> list[str]:
    """Files that define a benchmark; the others are what benchmarks share."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if "\ndef run(" in path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("name", help=f"one of {', '.join(names())}, all")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument(
        "--report", type=Path, help="write NAME.md and NAME.json for every benchmark in this folder"
    )
    args = parser.parse_args()
    if args.name not in [*names(), "all"]:
        raise UserError(f"benchmark {args.name!r} is unknown; choose from {', '.join(names())}, all")
    chosen = names() if args.name == "all" else [args.name]
    rows = []
    for name in chosen:
        module = importlib.import_module(f"benchmarks.{name}")
        found = module.run()
        if args.report:
            write_report(found, module.__doc__, folder=args.report, name=name)
        rows += found
    show(rows)
    if args.json:
        write_text(args.json, as_json(rows))


def write_report(rows: list[Row], about: str, *, folder: Path, name: str) -> None:
    """``NAME.md`` and ``NAME.json`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{name}.json", as_json(rows))
    command = f"python scripts/benchmark.py {name} --report {folder}"
    made = f"Made by `{command}` on {machine()}, torch {torch.__version__}."
    title, _, more = about.strip().partition("\n")
    parts = [f"# {title.rstrip('.')}", more.strip(), made, as_markdown(rows)]
    write_text(folder / f"{name}.md", "\n\n".join(part for part in parts if part))


def machine() -> str:
    """What the numbers were measured on: the cores, and the GPU of rows that name it."""
    gpu = f" (rows that name it: one {torch.cuda.get_device_name()})" if torch.cuda.is_available() else ""
    return f"{os.cpu_count()} CPU cores{gpu}"


def as_json(rows: list[Row]) -> str:
    return json.dumps([row.as_dict() for row in rows], indent=1) + "\n"


def show(rows: list[Row]) -> None:
    table = Table("case", "ours s", "other", "other s", "speed-up", "ours MB", "other MB", "points/s")
    for row in rows:
        numbers = [
            row.ours_s,
            row.other_s,
            row.speedup,
            row.ours_peak_mb,
            row.other_peak_mb,
            row.points_per_s,
        ]
        texts = ["" if number is None else f"{number:,.4g}" for number in numbers]
        table.add_row(row.case, texts[0], row.other, *texts[1:])
    Console(width=140).print(table)


def as_markdown(rows: list[Row]) -> str:
    """Ratios to the other way, which hold on other machines too, and rates, which hold on this one."""
    lines = ["| case | other way | times as fast | peak memory | points/s |", "|---|---|---|---|---|"]
    for row in rows:
        speedup = "" if row.speedup is None else f"{row.speedup:.2f} x"
        rate = "" if row.points_per_s is None else f"{row.points_per_s:,.0f}"
        lines.append(f"| {row.case} | {row.other} | {speedup} | {memory(row)} | {rate} |")
    return "\n".join(lines) + "\n"


def memory(row: Row) -> str:
    """Ours, and its share of the other's; nothing where it was not measured or is too little to tell."""
    if row.ours_peak_mb is None or row.ours_peak_mb < 1:
        return ""
    share = f", {row.ours_peak_mb / row.other_peak_mb:.0%}" if row.other_peak_mb else ""
    return f"{row.ours_peak_mb:,.0f} MB{share}"


if __name__ == "__main__":
    exit_on_user_error(main)
