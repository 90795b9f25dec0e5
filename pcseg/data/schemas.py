"""Classes of public data sets, read from ``classes.csv`` (names, colors, ids in their files); ScanNet's benchmarks."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX, LabelSchema


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A ScanNet benchmark: its classes, and the id of each in ground truth and submissions.

    ``column`` is the column of ``scannetv2-labels.combined.tsv`` that contains these ids.
    """

    schema: LabelSchema
    ids: tuple[int, ...]
    column: str

    def to_labels(self, ids: np.ndarray) -> np.ndarray:
        """Return the labels of non-negative ids, int16; an unknown id gives ``IGNORE_INDEX``."""
        table = np.full(max(*self.ids, int(ids.max(initial=0))) + 1, IGNORE_INDEX, np.int16)
        table[list(self.ids)] = np.arange(len(self.ids))
        return table[ids]


def benchmark_of(schema: LabelSchema, *, source: str) -> Benchmark:
    """Return the benchmark that has the classes of ``schema``; ``source`` names the file in errors.

    Raises:
        UserError: No benchmark has these classes.
    """
    for benchmark in (SCANNET20_BENCHMARK, SCANNET200_BENCHMARK):
        if schema.names == benchmark.schema.names:
            return benchmark
    raise UserError(
        f"{source}: not the classes of a ScanNet benchmark: it has {list(schema.names)}, the benchmark of 20 "
        f"classes has {list(SCANNET20.names)}. Use data and a model of ScanNet."
    )


def read_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of ``classes.csv`` for a data set, in the order of labels."""
    with Path(__file__).with_name("classes.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["schema"] == name]


def schema_of(name: str, rows: Sequence[Mapping[str, str]]) -> LabelSchema:
    """Return the label schema of the classes in ``rows``."""
    colors = [bytes.fromhex(row["color"]) for row in rows]
    names = tuple(row["name"] for row in rows)
    return LabelSchema(name=name, names=names, colors=tuple((r, g, b) for r, g, b in colors))


def ids_of(rows: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
    """Return the ids of classes in the files of their data set."""
    return tuple(int(row["id"]) for row in rows)


_NYU40, _SCANNET200 = read_rows("nyu40"), read_rows("scannet200")

NYU40 = schema_of("nyu40", _NYU40)
"""The 40 classes of NYUv2 in ScanNet's ``labels.ply``; label k has nyu40 id k + 1.

Convention:
    ScanNet's files spell class 24 ``refridgerator``. This schema spells it as the benchmark does.
"""

_IDS20 = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)

SCANNET20 = schema_of("scannet20", [_NYU40[i - 1] for i in _IDS20])
"""The 20 classes of the ScanNet benchmark."""

SCANNET20_BENCHMARK = Benchmark(schema=SCANNET20, ids=_IDS20, column="nyu40id")
"""The benchmark with 20 classes; ids are nyu40 ids."""

SCANNET200 = schema_of("scannet200", _SCANNET200)
"""The 200 classes of ScanNet200; 189 of them occur in the validation scenes."""

SCANNET200_BENCHMARK = Benchmark(schema=SCANNET200, ids=ids_of(_SCANNET200), column="id")
"""The benchmark with 200 classes; ids are those of the column ``id``, not nyu40 ids."""

SCANNET200_GROUPS = {
    group: tuple(row["name"] for row in _SCANNET200 if row["group"] == group)
    for group in ("head", "common", "tail")
}
"""The 66 frequent, 68 less frequent and 66 rare classes from the benchmark's ``scannet200_splits.py``."""


def class_groups(names: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
    """Return the labels of the class groups with reported means, by group; empty except for ScanNet200."""
    if tuple(names) != SCANNET200.names:
        return {}
    return {
        group: tuple(map(SCANNET200.names.index, members)) for group, members in SCANNET200_GROUPS.items()
    }
