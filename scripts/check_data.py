"""Check own or prepared data before any training: ``python scripts/check_data.py my_rooms.yaml``."""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from data_prep.own.check import FileCheck, check_folder, check_prepared, check_splits
from data_prep.own.spec import read_spec
from pcseg.cli import run
from pcseg.data.manifest import Manifest
from pcseg.errors import UserError
from pcseg.labels import LabelSchema


def check_data(data: Path) -> None:
    """Scan labels, extents, units, axes, colours, NaN, duplicates and empty rooms, and print the class histogram.

    Args:
        data: Description of own data (YAML), or a prepared folder.

    Raises:
        UserError: Some file cannot be used; all are checked first.
    """
    if data.is_dir():
        manifest = Manifest.read(data)
        schema, found = manifest.schema, check_prepared(data, manifest)
    else:
        spec = read_spec(data)
        schema, found = spec.schema, check_folder(spec)
    console = Console(width=120)
    checks = []
    for check in found:
        checks.append(check)
        for kind, texts in (("error", check.errors), ("warning", check.warnings)):
            for text in texts:
                say(console, f"{kind}: {check.name}: {text}" if check.name not in text else f"{kind}: {text}")
    for text in check_splits(checks, schema):
        say(console, f"warning: {text}")
    console.print(file_table(checks))
    console.print(class_table(checks, schema))
    bad = [check for check in checks if check.errors]
    if bad:
        raise UserError(f"{data}: {len(bad)} of {len(checks)} files cannot be used, see above")
    odd = sum(len(check.warnings) for check in checks)
    say(
        console,
        f"{len(checks)} files can be used; {odd} things to look at, see above" if odd else "nothing is odd",
    )


def say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def file_table(checks: list[FileCheck]) -> Table:
    """Points, size, colours and share without a class of every file."""
    table = Table("file", "split", "points", "size in m", "colours", "no class")
    for check in checks:
        size = " x ".join(f"{s:.1f}" for s in check.extent) if check.extent else "-"
        color = f"{check.color[0]}..{check.color[1]}" if check.color else "-"
        share = f"{check.unlabelled / check.points:.1%}" if check.points else "-"
        table.add_row(check.name, check.split, f"{check.points:,}", size, color, share)
    return table


def class_table(checks: list[FileCheck], schema: LabelSchema) -> Table:
    """Points of every class in every split."""
    splits = list(dict.fromkeys(check.split for check in checks))
    counts = np.zeros((len(splits), schema.num_classes), dtype=np.int64)
    for check in checks:
        if len(check.histogram):
            counts[splits.index(check.split)] += check.histogram
    table = Table("class", *(f"points in {split}" for split in splits), "share")
    for number, name in enumerate(schema.names):
        share = counts[:, number].sum() / max(counts.sum(), 1)
        table.add_row(name, *(f"{count:,}" for count in counts[:, number]), f"{share:.1%}")
    return table


if __name__ == "__main__":
    run(check_data)
