"""The points of a large scan on disk: one row per voxel of each part, sorted by cells of the ground plan.

Tiles are rectangles of these cells.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.data.io.clouds import from_table
from pcseg.data.io.columns import PointTable
from pcseg.data.io.labels import FIELDS
from pcseg.data.io.parts import PART, PartedFile
from pcseg.data.voxels import group_by_voxel
from pcseg.files import atomic_path
from pcseg.inference.scan_axes import ScanAxes

CELL = 2.0
"""Edge of the cells of the ground plan in meters."""

NONE = 2**32 - 1
"""Row of points without a position and of strays."""

COUNTED = 16
"""One of so many voxels is counted to estimate their number."""


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Rows of a store: those of part ``part[i]`` in cell ``xy[i]`` are ``count[i]`` rows from ``start[i]`` on.

    Args:
        voxels: Estimated number of voxels of each distinct cell, in the order of ``np.unique``.
    """

    part: np.ndarray
    xy: np.ndarray
    start: np.ndarray
    count: np.ndarray
    voxels: np.ndarray


@dataclass(frozen=True, kw_only=True)
class TileStore:
    """Files of a folder: ``rows`` of voxels, the row of every one of ``points``, and the ``results`` of rows.

    Args:
        kind: Type of a row: position, and color and normal if the files have them.
        grid_size: Edge of a voxel in meters.
        fragments: Number of points per voxel of a part.
    """

    folder: Path
    kind: np.dtype
    grid_size: float
    fragments: int

    @property
    def rows(self) -> Path:
        return self.folder / "rows"

    @property
    def points(self) -> Path:
        return self.folder / "points"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def voxels_per_cell(self) -> int:
        return max(1, round(CELL / self.grid_size))

    def cell_of(self, voxel: np.ndarray) -> np.ndarray:
        """Return the cells ``(N, 2)`` of voxels ``(N, 3)``."""
        return voxel[:, :2] // self.voxels_per_cell

    def voxel_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the voxels ``(N, 3)`` of rows."""
        return np.floor(rows["pos"].astype(np.float64) / self.grid_size).astype(np.int64)

    def finished(self) -> set[int]:
        """Return the numbers of the tiles with results."""
        path = self.folder / "finished"
        return set(map(int, path.read_text().split())) if path.is_file() else set()

    def finish(self, tile: int) -> None:
        """Note that the results of a tile are written."""
        with (self.folder / "finished").open("a") as out:
            out.write(f"{tile}\n")

    def fill(self, files: Sequence[PartedFile], axes: ScanAxes, advance: Callable[[int], None]) -> Cells:
        """Write the rows of all points, and return where those of each cell are."""
        entries: list[tuple[np.ndarray, ...]] = []
        counted: list[np.ndarray] = []
        number = start = 0
        with self.rows.open("wb") as rows, self.points.open("wb") as points:
            for file in files:
                for table in file.tables(PART, PART):
                    row, kept, xy, first = self._part(table, file.path, axes)
                    points.write(row.tobytes())
                    rows.write(kept.tobytes())
                    voxel = self.voxel_of(kept)
                    count = np.diff(np.append(first, len(kept)))
                    entries.append((np.full(len(xy), number), xy, start + first, count))
                    mixed = voxel @ np.array([73856093, 19349663, 83492791])
                    counted.append(voxel[mixed % COUNTED == 0])
                    number, start = number + 1, start + len(kept)
                    advance(len(row))
        part, xy, begin, count = (np.concatenate(columns) for columns in zip(*entries))
        found = self.cell_of(np.unique(np.concatenate(counted), axis=0))
        distinct, row = np.unique(np.concatenate([xy, found]), axis=0, return_inverse=True)
        counts = np.bincount(row.reshape(-1)[len(xy) :], minlength=len(distinct))
        cells = Cells(part=part, xy=xy, start=begin, count=count, voxels=np.maximum(COUNTED * counts, 1))
        with atomic_path(self.folder / "cells.npz") as temporary, temporary.open("wb") as out:
            np.savez(out, **vars(cells))
        return cells

    def _part(self, table: PointTable, path: Path, axes: ScanAxes) -> tuple[np.ndarray, ...]:
        """Return the row of every point of a part ``(N,)`` uint32, its rows, and the cells and where they begin."""
        cloud = from_table(table, path, like=axes.colors)
        low, high = axes.limits
        usable = np.flatnonzero(cloud.finite & ((cloud.pos >= low) & (cloud.pos <= high)).all(axis=1))
        row = np.full(len(cloud), NONE, np.uint32)
        rotation = axes.rotation.astype(np.float32)
        pos = axes.frame.apply(cloud.pos[usable]) @ rotation.T
        groups = group_by_voxel(pos, self.grid_size)
        voxel = groups.grid_pos + groups.origin
        cell = self.cell_of(voxel)
        order = np.lexsort(cell.T[::-1])
        number = np.minimum(groups.count, self.fragments)[order]
        begins = np.cumsum(number) - number
        member = np.arange(number.sum()) - np.repeat(begins, number)
        chosen = groups.order[np.repeat(groups.ptr[:-1][order], number) + member]
        first = np.empty(len(order), np.uint32)
        first[order] = begins
        row[usable[groups.order]] = np.repeat(first, groups.count)
        kept = np.empty(len(chosen), self.kind)
        kept["pos"] = pos[chosen]
        if "color" in (self.kind.names or ()):
            kept["color"] = 127 if cloud.color is None else cloud.color[usable[chosen]]
        if "normal" in (self.kind.names or ()):
            normal = (
                np.zeros((len(chosen), 3), np.float32)
                if cloud.normal is None
                else cloud.normal[usable[chosen]]
            )
            kept["normal"] = axes.frame.rotate(normal) @ rotation.T
        cell = cell[order]
        new = np.flatnonzero(np.append(len(cell) > 0, (cell[1:] != cell[:-1]).any(axis=1)))
        return row, kept, cell[new], begins[new]

    def cells(self) -> Cells | None:
        """Return the cells of a store that was filled earlier."""
        path = self.folder / "cells.npz"
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as file:
            return Cells(**{name: file[name] for name in file.files})

    def read(self, cells: Cells, chosen: np.ndarray) -> np.ndarray:
        """Return the rows of the chosen entries of ``cells``, in the order of the parts."""
        with self.rows.open("rb") as stream:
            parts = []
            for start, count in _runs(cells.start[chosen], cells.count[chosen]):
                stream.seek(start * self.kind.itemsize)
                parts.append(np.fromfile(stream, self.kind, count))
        return np.concatenate(parts) if parts else np.empty(0, self.kind)

    def write_results(self, cells: Cells, chosen: np.ndarray, results: np.ndarray) -> None:
        """Write the results of the chosen entries, records of ``FIELDS``."""
        done = 0
        with self.results.open("r+b") as stream:
            for start, count in _runs(cells.start[chosen], cells.count[chosen]):
                stream.seek(start * FIELDS.itemsize)
                stream.write(results[done : done + count].tobytes())
                done += count
            stream.flush()
            os.fsync(stream.fileno())


def _runs(start: np.ndarray, count: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield start and length of runs of adjacent entries, given by ascending starts and their lengths."""
    if not len(start):
        return
    new = np.flatnonzero(np.append(True, start[1:] != start[:-1] + count[:-1]))
    yield from zip(start[new].tolist(), np.add.reduceat(count, new).tolist())


class StoredLabels:
    """The classes of the points of one file of a store.

    Args:
        store: The store with all results.
        cells: Its rows.
        before: Number of points of the files before.
        part: First part of the file.
    """

    def __init__(self, store: TileStore, cells: Cells, *, before: int, part: int) -> None:
        self.store, self.before, self.part = store, before, part
        rows = np.bincount(cells.part, cells.count, minlength=1).astype(np.int64)
        self.ends = np.append(0, np.cumsum(rows))
        self.last: tuple[int, np.ndarray] = (-1, np.empty(0, FIELDS))

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return classes and confidences of the points from ``start`` to before ``stop``."""
        found = np.empty(stop - start, FIELDS)
        for part in range(start // PART, -(-stop // PART)):
            first, last = max(start, part * PART), min(stop, (part + 1) * PART)
            row = np.fromfile(self.store.points, np.uint32, last - first, offset=4 * (self.before + first))
            results = self._results(self.part + part)
            found[first - start : last - start] = results[np.minimum(row, len(results) - 1)]
        return found["predicted_class"], found["confidence"]

    def _results(self, part: int) -> np.ndarray:
        """Return the results of the rows of a part, and a last one for points without a row."""
        if self.last[0] != part:
            begin, end = self.ends[part : part + 2] if part + 1 < len(self.ends) else (0, 0)
            results = np.fromfile(self.store.results, FIELDS, end - begin, offset=begin * FIELDS.itemsize)
            self.last = part, np.append(results, np.array([(-1, 0)], FIELDS))
        return self.last[1]


def cut_tiles(
    cells: Cells, *, margin: int, max_voxels: int, max_rows: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return rectangles of cells, as lowest and highest cell ``(2,)``, that contain every cell exactly once.

    The longer edge of a rectangle is halved (by number of voxels) until it and ``margin`` cells around it have at
    most ``max_voxels`` voxels and ``max_rows`` rows, or it is one cell.
    """
    xy, row = np.unique(cells.xy, axis=0, return_inverse=True)
    rows = np.bincount(row.reshape(-1), cells.count, len(xy))

    def cut(inside: np.ndarray, near: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        low, high = xy[inside].min(axis=0), xy[inside].max(axis=0)
        near = near[within(xy[near], low - margin, high + margin)]
        if len(inside) == 1 or (cells.voxels[near].sum() <= max_voxels and rows[near].sum() <= max_rows):
            return [(low, high)]
        coordinate = xy[inside, int(np.argmax(high - low))]
        order = np.argsort(coordinate, kind="stable")
        sums = np.cumsum(cells.voxels[inside][order])
        middle = coordinate[order[np.searchsorted(sums, sums[-1] / 2)]]
        above = coordinate >= max(middle, coordinate.min() + 1)
        return [*cut(inside[~above], near), *cut(inside[above], near)]

    everything = np.arange(len(xy))
    return cut(everything, everything) if len(xy) else []


def within(xy: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the mask ``(N,)`` of the cells or voxels between two corners, which are included."""
    return np.asarray(((xy >= low) & (xy <= high)).all(axis=1))
