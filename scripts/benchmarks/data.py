"""Grid sampling and the training loader, on rooms of a million points."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.harness import Row, measure

from pcseg.data.manifest import Manifest, describe_scene
from pcseg.data.room_data import RoomData
from pcseg.data.scenes import write_scene
from pcseg.data.transforms import IndoorColor, IndoorGeometry
from pcseg.data.voxels import group_by_voxel
from pcseg.labels import S3DIS

NUM_POINTS = 1_000_000
LOADER_POINTS = 500_000
NUM_ROOMS = 4


def run() -> list[Row]:
    """Measure test and train mode against indexing as in Pointcept, and samples from disk."""
    fields = list(make_room(NUM_POINTS).values())
    rng = np.random.default_rng(0)
    size = f"{NUM_POINTS:,} points"
    rows = []
    for grid_size, keep in ((0.02, False), (0.02, True), (0.04, True)):
        name = "all kept" if keep else "one at a time"
        rows.append(
            measure(
                f"grid sample test, {size}, {grid_size} m, fragments {name}",
                partial(fragments_sorted_once, fields, grid_size, keep=keep),
                "index every fragment",
                partial(fragments_indexed_each, fields, grid_size, keep=keep),
            )
        )
    for grid_size in (0.02, 0.05):
        rows.append(
            measure(
                f"grid sample train, {size}, {grid_size} m",
                partial(one_point_per_voxel, fields, grid_size, rng),
                "hash, argsort, unique",
                partial(one_point_per_voxel_by_unique, fields, grid_size, rng),
            )
        )
    with tempfile.TemporaryDirectory() as temporary:
        rows += loader_rows(Path(temporary))
    return rows


def loader_rows(folder: Path) -> list[Row]:
    """Measure an epoch of ``NUM_ROOMS`` rooms in this process against the published order of transforms."""
    write_rooms(folder)
    published = IndoorGeometry().steps() + IndoorColor().steps()
    case = f"{NUM_ROOMS} training samples of {LOADER_POINTS:,} points, 0.05 m"
    ours = partial(read_epoch, folder)
    other = partial(read_epoch, folder, points=published, voxels=[])
    return [measure(case, ours, "colors changed before grid sampling", other)]


def make_room(num_points: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return a noisy room of 10 x 8 x 3 m with furniture: fields in the order of a prepared scene."""
    rng = np.random.default_rng(seed)
    size = np.array([10.0, 8.0, 3.0])
    side = rng.integers(0, 6, num_points)
    low, edge = np.zeros((num_points, 3)), np.tile(size, (num_points, 1))
    furniture = np.flatnonzero(rng.random(num_points) < 0.3)
    box = rng.integers(0, 30, len(furniture))
    low[furniture] = rng.uniform(0, size * [0.9, 0.9, 0], (30, 3))[box]
    edge[furniture] = rng.uniform(0.4, 1.2, (30, 3))[box]
    pos = low + rng.random((num_points, 3)) * edge
    point = np.arange(num_points)
    pos[point, side % 3] = (low + edge * (side // 3)[:, None])[point, side % 3]
    pos += rng.normal(0, 0.003, pos.shape)
    return {
        "pos": pos.astype(np.float32),
        "color": rng.integers(0, 256, (num_points, 3), dtype=np.uint8),
        "label": (side % 13).astype(np.int16),
        "instance": side.astype(np.int32),
        "normal": np.eye(3, dtype=np.float32)[side % 3],
    }


def fragments_sorted_once(fields: list[np.ndarray], grid_size: float, *, keep: bool) -> list:
    groups = group_by_voxel(fields[0], grid_size)
    kept = []
    for fragment in groups.fragments(fields):
        if keep:
            kept.append(fragment)
    return kept


def fragments_indexed_each(fields: list[np.ndarray], grid_size: float, *, keep: bool) -> list:
    """Index the points of every fragment in the whole cloud."""
    order, count, cells = _by_unique(fields[0], grid_size)
    start = np.cumsum(count) - count
    kept = []
    for number in range(count.max()):
        index = order[start + number % count]
        fragment = [field[index] for field in (*fields, cells)]
        if keep:
            kept.append(fragment)
    return kept


def one_point_per_voxel(
    fields: list[np.ndarray], grid_size: float, rng: np.random.Generator
) -> list[np.ndarray]:
    groups = group_by_voxel(fields[0], grid_size)
    index = groups.random_points(rng)
    return [*(field.take(index, axis=0) for field in fields), groups.grid_pos]


def one_point_per_voxel_by_unique(
    fields: list[np.ndarray], grid_size: float, rng: np.random.Generator
) -> list[np.ndarray]:
    order, count, cells = _by_unique(fields[0], grid_size)
    index = order[np.cumsum(count) - count + rng.integers(0, count.max(), len(count)) % count]
    return [field[index] for field in (*fields, cells)]


def _by_unique(pos: np.ndarray, grid_size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the order by hash, points per voxel and cells, as GridSample of Pointcept."""
    cells = np.floor(pos / np.array(grid_size)).astype(int)
    cells -= cells.min(axis=0)
    unsigned = cells.astype(np.uint64)
    keys = np.full(len(cells), 14695981039346656037, dtype=np.uint64)
    for axis in range(3):
        keys *= np.uint64(1099511628211)
        keys = np.bitwise_xor(keys, unsigned[:, axis])
    order = np.argsort(keys)
    _, _, count = np.unique(keys[order], return_inverse=True, return_counts=True)
    return order, count, cells


def write_rooms(folder: Path) -> None:
    entries = []
    for number in range(NUM_ROOMS):
        path = folder / "Area_1" / f"office_{number}.h5"
        write_scene(
            path, **make_room(LOADER_POINTS, number), dataset="benchmark", scene=path.stem, schema=S3DIS
        )
        entries.append(describe_scene(path, folder=folder, source=""))
    Manifest(dataset="benchmark", release="benchmark", schema=S3DIS, scenes=tuple(entries)).write(folder)


def read_epoch(folder: Path, *, points: list | None = None, voxels: list | None = None) -> int:
    data = RoomData(
        folder,
        test_splits=[],
        val_fraction=0,
        batch_size=2,
        point_transforms=points,
        voxel_transforms=voxels,
    )
    return sum(batch.num_nodes for batch in data.train_dataloader())
