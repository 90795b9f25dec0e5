"""The damage of the real release: bytes with bit 0x20 cleared, a copied object, wrong names, stray files."""

import re
import shutil
from pathlib import Path

KINDS = 3


def damage_room(folder: Path, room: str, kind: int) -> None:
    """Damage a room in its ``folder`` with ``<room>.txt`` and ``Annotations`` in one of three ways.

    Args:
        kind: 0: a bad byte in an object file, a stairs object, stray files; 1: a bad byte in the room file, a
            copied wall, a misspelled stairs object; 2: a bad byte in the room file, which has the wrong name too.

    Convention:
        A damaged byte is its character with bit 0x20 cleared: NUL for a space, 0x10 for ``0``, 0x16 for ``6``.
    """
    annotations, points = folder / "Annotations", folder / f"{room}.txt"
    if kind == 0:
        _spoil(annotations / "ceiling_1.txt", b" ")
        _rename_clutter(annotations, "stairs_1.txt")
        for stray in (folder / ".DS_Store", annotations / ".DS_Store", annotations / "Icon\r"):
            stray.write_bytes(b"\0\0\0\1Bud1")
    elif kind == 1:
        _spoil(points, b"0")
        wall = annotations / "wall_3.txt"
        if wall.is_file():
            shutil.copyfile(wall, annotations / "wall_3 (1).txt")
        _rename_clutter(annotations, "staris_1.txt")
    else:
        _spoil(points, b"6")
        points.rename(folder / f"{_misnamed(room)}.txt")


def _spoil(file: Path, character: bytes) -> None:
    """Clear bit 0x20 of a ``character`` in the middle of a file."""
    text = bytearray(file.read_bytes())
    line = text.index(b"\n", len(text) // 2) + 1
    at = text.index(character, line)
    if character == b" ":  # the last blank of a line stands between two colors, as in the real file
        at = text.rindex(character, line, text.index(b"\n", line))
    text[at] &= ~0x20
    file.write_bytes(text)


def _rename_clutter(annotations: Path, name: str) -> None:
    """Rename the last clutter object to an unknown class."""
    clutter = sorted(annotations.glob("clutter_*.txt"), key=lambda file: (len(file.name), file.name))
    if clutter:
        clutter[-1].rename(annotations / name)


def _misnamed(room: str) -> str:
    """Return ``copy_Room_1`` for ``copyRoom_1``, ``office1`` for ``office_1``."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", room)
    return apart if apart != room else room.replace("_", "")
