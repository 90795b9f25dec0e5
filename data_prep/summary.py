"""Report the outcome of a preparation."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from data_prep.parallel import Outcome
from pcseg.data.manifest import MANIFEST_NAME
from pcseg.errors import UserError
from pcseg.labels import LabelSchema


def summarize(outcome: Outcome, out: Path, console: Console, *, kind: str) -> None:
    """Print classes, repaired lines, skipped files, failures and counts; ``kind`` names the source of a scene.

    Raises:
        UserError: At least one scene failed.
    """
    manifest = outcome.manifest
    console.print(class_table(manifest.schema, {"points": manifest.class_histogram}, manifest.num_points))
    lines = []
    for entry in sorted([*outcome.skipped, *outcome.prepared], key=lambda entry: entry.path):
        for repair in entry.repairs:
            lines.append(f"repaired: {repair.file} line {repair.line}: {repair.before!r} -> {repair.after!r}")
        lines += [f"skipped: {file}" for file in entry.ignored]
    everything = [*outcome.skipped, *outcome.prepared]
    lines += by_kind((entry.path, remark) for entry in everything for remark in entry.remarks)
    lines += [f"no longer part of the data: {out / entry.path}" for entry in outcome.dropped]
    lines += [
        f"warning: {one.path} and {other.path} are the same room. Remove one of their sources."
        for one, other in manifest.copies
    ]
    lines += [f"failed: {failure}" for failure in sorted(outcome.failures)]
    lines += [
        f"{len(outcome.prepared)} prepared, {len(outcome.skipped)} unchanged, {len(outcome.failures)} failed",
        f"{out / MANIFEST_NAME}: {manifest.release}, {len(manifest.scenes)} scenes, "
        f"{manifest.num_points:,} points, hash {manifest.hash}",
    ]
    print_lines(lines, console)
    if outcome.failures:
        jobs = len(outcome.prepared) + len(outcome.skipped) + len(outcome.failures)
        raise UserError(
            f"{len(outcome.failures)} of {jobs} {kind} could not be prepared. See the lines above."
        )


def class_table(schema: LabelSchema, columns: Mapping[str, Sequence[int] | np.ndarray], total: int) -> Table:
    """Return a table of points per class, one number from each of ``columns``, and their shares of ``total``."""
    table = Table("class", *columns, "share")
    for name, *counts in zip(schema.names, *columns.values()):
        table.add_row(name, *(f"{count:,}" for count in counts), f"{sum(counts) / max(total, 1):.1%}")
    return table


def print_lines(lines: Sequence[str], console: Console) -> None:
    """Print lines without markup."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def by_kind(remarks: Iterable[tuple[str, str]]) -> list[str]:
    """Return one line per kind of remark; remarks of a kind differ in numbers only.

    Args:
        remarks: Pairs of a file and a remark.
    """
    kinds: dict[str, list[tuple[str, str]]] = {}
    for name, text in remarks:
        kinds.setdefault(re.sub(r"-?\d[\d.,]*", "#", text), []).append((name, text))
    return [
        f"note: {text}" + (f" ({name})" if len(kind) == 1 else f" ({len(kind)} files, such as {name})")
        for kind in kinds.values()
        for name, text in [min(kind)]
    ]
