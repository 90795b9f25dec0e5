"""Tiny raw rooms in the layout of S3DIS for tests."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

LINES = b"0.1 0.2 0.3 10 20 30\n1.5 -2.5 0.75 255 0 128\n"


def object_text(seed: int, *, num_points: int = 20, decimals: int = 3) -> bytes:
    """Return lines of random points, with integer colors if ``decimals`` is 3, as in the aligned release."""
    rng = np.random.default_rng(seed)
    pos, color = rng.uniform(-5, 5, (num_points, 3)), rng.integers(0, 256, (num_points, 3))
    form = "{:.3f} {:.3f} {:.3f} {:.0f} {:.0f} {:.0f}\n" if decimals == 3 else "{:.6f} " * 5 + "{:.6f}\n"
    return "".join(form.format(*row) for row in np.c_[pos, color]).encode()


def write_raw_room(folder: Path, objects: Mapping[str, bytes]) -> None:
    """A room with these object files, and a text of the whole room that must not be read."""
    (folder / "Annotations").mkdir(parents=True)
    (folder / f"{folder.name}.txt").write_bytes(b"not \x00 numbers")
    for name, text in objects.items():
        (folder / "Annotations" / name).write_bytes(text)


def write_raw_building(raw: Path, rooms: tuple[str, ...], *, decimals: int = 3) -> Path:
    """Rooms ``Area_1/office_1`` ... of two objects each."""
    for seed, room in enumerate(rooms):
        texts = {
            f"{name}_1.txt": object_text(10 * seed + k, decimals=decimals)
            for k, name in enumerate(["floor", "wall"])
        }
        write_raw_room(raw / room, texts)
    return raw
