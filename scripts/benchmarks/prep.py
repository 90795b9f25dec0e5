"""Preparation of rooms of a million points: reading, writing, and two processes against one."""

import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
from benchmarks.harness import Row, measure
from rich.console import Console

from data_prep.parallel import prepare_scenes
from data_prep.releases.s3dis import RawRoom, find_rooms, object_files
from data_prep.s3dis import make_jobs, prepare_room, read_room
from data_prep.synthetic.raw import write_room
from pcseg.data.manifest import MANIFEST_NAME, Manifest, describe_scene
from pcseg.data.scenes import write_scene
from pcseg.labels import S3DIS

NUM_POINTS = 1_000_000
NUM_OBJECTS = 40
NUM_ROOMS = 12


def run() -> list[Row]:
    """Measure reading and whole rooms against a loop of ``numpy.loadtxt``, and two processes against one."""
    with tempfile.TemporaryDirectory() as temporary:
        raw, out = Path(temporary, "raw"), Path(temporary, "out")
        aligned = make_room(raw / "Area_1" / "office_1", decimals=3)
        other = make_room(Path(temporary, "Area_1", "office_1"), decimals=6)
        for number in range(2, NUM_ROOMS + 1):
            shutil.copytree(aligned.folder, aligned.folder.with_name(f"office_{number}"))
        rooms, _ = find_rooms(raw)

        def write_as_ours(room: RawRoom) -> None:
            arrays, path = read_with_loadtxt(room), out / f"{room.label}.h5"
            write_scene(path, **arrays, dataset="s3dis", scene=room.name, schema=S3DIS)
            describe_scene(path, folder=out, source="")

        def prepare_all(workers: int) -> None:
            (out / MANIFEST_NAME).unlink(missing_ok=True)  # otherwise all rooms are up to date
            empty = Manifest(dataset="s3dis", release="benchmark", schema=S3DIS, scenes=())
            console = Console(file=io.StringIO())
            prepare_scenes(make_jobs(rooms, out), out, empty=empty, workers=workers, console=console)

        size = f"{NUM_POINTS:,} points, {NUM_OBJECTS} objects"
        return [
            measure(
                f"read a room, {size}, {name}",
                lambda room=room: read_room(room),
                "numpy.loadtxt loop",
                lambda room=room: read_with_loadtxt(room),
            )
            for name, room in {"aligned": aligned, "non-aligned": other}.items()
        ] + [
            measure(
                f"text to HDF5, {size}",
                lambda: prepare_room(aligned, out, source=""),
                "numpy.loadtxt loop, same writer",
                lambda: write_as_ours(aligned),
            ),
            measure(
                f"{NUM_ROOMS} rooms of {NUM_POINTS:,} points, 2 processes",
                lambda: prepare_all(2),
                "1 process",
                lambda: prepare_all(1),
                memory=False,
            ),
        ]


def make_room(folder: Path, *, decimals: int) -> RawRoom:
    """Write a room of random points in the raw layout."""
    rng = np.random.default_rng(0)
    size = rng.dirichlet(np.ones(NUM_OBJECTS))
    folder.parent.mkdir(parents=True)
    write_room(
        folder,
        folder.name,
        rng.uniform([-3, -22, 0], [12, 8, 3.2], (NUM_POINTS, 3)),
        rng.integers(0, 256, (NUM_POINTS, 3)),
        rng.choice(NUM_OBJECTS, NUM_POINTS, p=size),
        rng.choice(S3DIS.names, NUM_OBJECTS).tolist(),
        decimals=decimals,
    )
    return RawRoom(area=folder.parent.name, name=folder.name, folder=folder)


def read_with_loadtxt(room: RawRoom) -> dict[str, np.ndarray]:
    """Read a room as common preparation scripts do: ``numpy.loadtxt`` on every object."""
    files, _ = object_files(room)
    tables = [np.loadtxt(file) for file in files]
    table, sizes = np.concatenate(tables), [len(table) for table in tables]
    labels = [S3DIS.names.index(file.name.split("_")[0]) for file in files]
    return {
        "pos": table[:, :3].astype(np.float32),
        "color": table[:, 3:].astype(np.uint8),
        "label": np.repeat(labels, sizes),
        "instance": np.repeat(np.arange(len(files)), sizes),
    }
