"""LAS files: the points of an uncompressed file of any version and point format as columns."""

from pathlib import Path

import numpy as np

from pcseg.data.tables import Columns
from pcseg.errors import UserError

# where the classification, its bits, and the colours lie in a record of each point format (ASPRS LAS 1.4, tables 7-17)
LAYOUT: dict[int, tuple[int, int, int | None]] = {
    0: (15, 31, None), 1: (15, 31, None), 2: (15, 31, 20), 3: (15, 31, 28), 4: (15, 31, None), 5: (15, 31, 28),
    6: (16, 255, None), 7: (16, 255, 30), 8: (16, 255, 30), 9: (16, 255, None), 10: (16, 255, 30),
}  # fmt: skip
SMALLEST = (20, 28, 26, 34, 57, 63, 30, 36, 38, 59, 67)
"""Bytes of a record of each point format, without extra bytes."""


def read_las(path: Path) -> Columns:
    """Columns x, y, z (float64), intensity, classification, and red, green, blue where there are any.

    Raises:
        UserError: Not a LAS file, a compressed one, an unknown point format, or one that ends early.
    """
    data = path.read_bytes()
    if len(data) < 227 or not data.startswith(b"LASF"):
        raise UserError(f"{path}: not a LAS file (its header is missing or cut off)")

    def number(kind: str, offset: int) -> int:
        return int(np.frombuffer(data, kind, count=1, offset=offset)[0])

    minor, header_size = data[25], number("<u2", 94)
    start, kind, size = number("<u4", 96), data[104], number("<u2", 105)
    if kind & 0xC0:
        raise UserError(f"{path}: compressed (LAZ); unpack it to .las, for example with CloudCompare")
    if kind not in LAYOUT or size < SMALLEST[kind]:
        raise UserError(f"{path}: point format {kind} with records of {size} bytes is unknown or damaged")
    points = number("<u8", 247) if minor >= 4 and header_size >= 255 <= len(data) else number("<u4", 107)
    here = max(len(data) - start, 0) // size
    if here < points:
        raise UserError(f"{path}: announces {points} points but holds {here}; the file is damaged")
    scale, offset = np.frombuffer(data, "<f8", count=6, offset=131).reshape(2, 3)
    place, bits, color = LAYOUT[kind]
    names = ["x", "y", "z", "intensity", "classification"]
    kinds, offsets = ["<i4", "<i4", "<i4", "<u2", "u1"], [0, 4, 8, 12, place]
    if color is not None:
        names += ["red", "green", "blue"]
        kinds, offsets = kinds + ["<u2"] * 3, [*offsets, color, color + 2, color + 4]
    row = np.dtype({"names": names, "formats": kinds, "offsets": offsets, "itemsize": size})
    table = np.frombuffer(data, row, count=points, offset=start) if points else np.empty(0, row)
    columns = {name: table[name] for name in names}
    for axis, name in enumerate("xyz"):
        with np.errstate(all="ignore"):  # a damaged scale gives NaN or infinite positions, which are told
            columns[name] = table[name] * scale[axis] + offset[axis]
    columns["classification"] = columns["classification"] & bits
    return columns
