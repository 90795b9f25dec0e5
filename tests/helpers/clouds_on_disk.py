"""Small labeled rooms in several formats, and the description of their folder."""

from pathlib import Path

import h5py
import numpy as np
from helpers.fakes import fake_room

from pcseg.data.io.ply import write_ply
from pcseg.labels import S3DIS

NAMES = ("floor", "ceiling", "wall", "table")


def own_room(seed: int, *, num_points: int = 1500) -> dict[str, np.ndarray]:
    """Arrays of a room with labels 0..3 by :data:`NAMES`."""
    room = fake_room(seed, num_points=num_points)
    table = np.full(S3DIS.num_classes, -1, np.int32)
    table[[S3DIS.names.index(name) for name in NAMES]] = range(4)
    return room | {"label": table[room["label"]]}


def write_own_ply(path: Path, room: dict[str, np.ndarray], *, label: str = "scalar_label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = dict(zip("xyz", room["pos"].T)) | dict(zip(("red", "green", "blue"), room["color"].T))
    write_ply(path, columns | {label: room["label"].astype(np.float32), "object_id": room["instance"]})
    return path


def write_own_h5(path: Path, room: dict[str, np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["coords"], file["rgb"], file["gt"] = room["pos"], room["color"], room["label"]
        file["sun"] = np.zeros((len(room["pos"]), 3))
    return path


DESCRIPTION = """
name: my_rooms
root: my_rooms
names: {0: floor, 1: ceiling, 2: wall, 3: table}
ignore: [255]
"""


def write_own_folder(folder: Path, *, rooms: dict[str, int] | None = None) -> Path:
    """``folder/my_rooms/<split>/room_<n>.ply`` and ``folder/my_rooms.yaml``, whose path is returned."""
    for index, (split, count) in enumerate((rooms or {"train": 3, "test": 1}).items()):
        for number in range(count):
            write_own_ply(folder / "my_rooms" / split / f"room_{number}.ply", own_room(10 * index + number))
    path = folder / "my_rooms.yaml"
    path.write_text(DESCRIPTION)
    return path
