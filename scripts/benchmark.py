"""Measure pcseg against named alternatives: ``python scripts/benchmark.py NAME --json FILE``."""

import argparse
import importlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markdown import Markdown

from pcseg.errors import UserError, exit_on_user_error
from pcseg.files import write_text

if TYPE_CHECKING:  # its torch takes seconds, which --help does not need
    from benchmarks.harness import Row

FOLDER = Path(__file__).parent / "benchmarks"


def names() -> list[str]:
    """Return the files that define a benchmark; the others are shared by benchmarks."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if "\ndef run(" in path.read_text())


def main() -> None:
    """Run benchmarks, show their rows and write them to files."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("name", help=f"one of {', '.join(names())}, all")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument(
        "--report", type=Path, help="write NAME.md and NAME.json of every benchmark to this folder"
    )
    args = parser.parse_args()
    if args.name not in [*names(), "all"]:
        raise UserError(f"{args.name}: unknown benchmark. Choose from {', '.join(names())}, all.")
    rows: list[Row] = []
    for name in names() if args.name == "all" else [args.name]:
        module = importlib.import_module(f"benchmarks.{name}")
        found = module.run()
        if args.report:
            write_report(found, module, folder=args.report, name=name)
        Console(width=160).print(Markdown(table(module)(found)))
        rows += found
    if args.json:
        write_text(args.json, as_json(rows))


def table(module: ModuleType) -> Callable[..., str]:
    """Return the function that prints the rows of a benchmark: its own, or that of times."""
    return getattr(module, "as_markdown", as_markdown)


def write_report(rows: "Sequence[Row]", module: ModuleType, *, folder: Path, name: str) -> None:
    """Write ``NAME.md`` and ``NAME.json`` to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{name}.json", as_json(rows))
    title, _, details = (module.__doc__ or "").strip().partition("\n")
    made = f"Made by `python scripts/benchmark.py {name} --report {folder}` on {machine()}."
    parts = [f"# {title.rstrip('.')}", details.strip(), made, table(module)(rows)]
    write_text(folder / f"{name}.md", "\n\n".join(part for part in parts if part))


def machine() -> str:
    """Return a description of the machine."""
    import torch

    gpu = f" (rows that name it: one {torch.cuda.get_device_name()})" if torch.cuda.is_available() else ""
    return f"{os.cpu_count()} CPU cores{gpu}, torch {torch.__version__}"


def as_json(rows: "Sequence[Row]") -> str:
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"


def as_markdown(rows: "Sequence[Row]") -> str:
    """Return a table of ratios, which hold on other machines too, and of rates and seconds, which hold on this one."""
    head = (
        "Case",
        "Seconds",
        "Compared with",
        "Speedup",
        "Peak memory (share of the other)",
        "Points per second",
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        speedup = "" if row.speedup is None else f"{row.speedup:.2f}x"
        rate = "" if row.points_per_s is None else f"{row.points_per_s:,.0f}"
        lines.append(f"| {row.case} | {row.ours_s:.3g} | {row.other} | {speedup} | {memory(row)} | {rate} |")
    return "\n".join(lines) + "\n"


def memory(row: "Row") -> str:
    """Return our peak and its ratio to the alternative's; empty where it was not measured or is below 1 MB."""
    if row.ours_peak_mb is None or row.ours_peak_mb < 1:
        return ""
    share = f", {row.ours_peak_mb / row.other_peak_mb:.0%}" if row.other_peak_mb else ""
    return f"{row.ours_peak_mb:,.0f} MB{share}"


if __name__ == "__main__":
    exit_on_user_error(main)
