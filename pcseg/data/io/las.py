"""LAS and LAZ files: the points of a file of any version and point format as columns."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.data.io.laz import unpack
from pcseg.data.io.tables import Columns
from pcseg.errors import UserError

# where the classification, its bits, and the colours lie in a record of each point format (ASPRS LAS 1.4, tables 7-17)
LAYOUT: dict[int, tuple[int, int, int | None]] = {
    0: (15, 31, None), 1: (15, 31, None), 2: (15, 31, 20), 3: (15, 31, 28), 4: (15, 31, None), 5: (15, 31, 28),
    6: (16, 255, None), 7: (16, 255, 30), 8: (16, 255, 30), 9: (16, 255, None), 10: (16, 255, 30),
}  # fmt: skip
SMALLEST = (20, 28, 26, 34, 57, 63, 30, 36, 38, 59, 67)
"""Bytes of a record of each point format, without extra bytes."""

SMALLEST_RECORD = 54
"""Bytes of a record between header and points, without its content."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the header says of the points.

    Args:
        start: Offset of the first record in bytes.
        kind: Point format.
        size: Bytes of a record.
        points: Number of records.
        is_packed: Whether the records are compressed (LAZ).
        scale: Metres a unit, ``(3,)``.
        offset: Position of the unit 0, ``(3,)``.
    """

    start: int
    kind: int
    size: int
    points: int
    is_packed: bool
    scale: np.ndarray
    offset: np.ndarray


def read_las(path: Path) -> Columns:
    """Columns x, y, z (float64), intensity, classification, and red, green, blue where there are any.

    Raises:
        UserError: Not a LAS or LAZ file, an unknown point format, one that ends early, or a compressed one
            without the package that unpacks it.
    """
    data = path.read_bytes()
    header = parse_header(data, path)
    records = unpack(path) if header.is_packed else memoryview(data)[header.start :]
    here = len(records) // header.size
    if here < header.points:
        raise UserError(f"{path}: announces {header.points} points but holds {here}; the file is damaged")
    return columns_of_records(records, header)


def parse_header(data: bytes, path: Path) -> Header:
    """The header of a file of version 1.0 to 1.4."""
    if len(data) < 227 or not data.startswith(b"LASF"):
        raise UserError(f"{path}: not a LAS file (its header is missing or cut off)")

    def number(kind: str, offset: int) -> int:
        return int(np.frombuffer(data, kind, count=1, offset=offset)[0])

    minor, header_size, start = data[25], number("<u2", 94), number("<u4", 96)
    if not 227 <= header_size <= header_size + SMALLEST_RECORD * number("<u4", 100) <= start <= len(data):
        raise UserError(f"{path}: its header does not fit a file of {len(data)} bytes; the file is damaged")
    kind, size = data[104] & 0x3F, number("<u2", 105)
    if kind not in LAYOUT or size < SMALLEST[kind]:
        raise UserError(f"{path}: point format {kind} with records of {size} bytes is unknown or damaged")
    is_long = minor >= 4 and header_size >= 255 <= len(data)
    scale, offset = np.frombuffer(data, "<f8", count=6, offset=131).reshape(2, 3)
    return Header(
        start=start, kind=kind, size=size, is_packed=bool(data[104] & 0xC0), scale=scale, offset=offset,
        points=number("<u8", 247) if is_long else number("<u4", 107),
    )  # fmt: skip


def columns_of_records(records: bytes | memoryview, header: Header) -> Columns:
    """The columns of the records of all points."""
    place, bits, color = LAYOUT[header.kind]
    names = ["x", "y", "z", "intensity", "classification"]
    kinds, offsets = ["<i4", "<i4", "<i4", "<u2", "u1"], [0, 4, 8, 12, place]
    if color is not None:
        names += ["red", "green", "blue"]
        kinds, offsets = kinds + ["<u2"] * 3, [*offsets, color, color + 2, color + 4]
    row = np.dtype({"names": names, "formats": kinds, "offsets": offsets, "itemsize": header.size})
    table = np.frombuffer(records, row, count=header.points) if header.points else np.empty(0, row)
    columns = {name: table[name] for name in names}
    for axis, name in enumerate("xyz"):
        with np.errstate(all="ignore"):  # a damaged scale gives NaN or infinite positions, which are told
            columns[name] = table[name] * header.scale[axis] + header.offset[axis]
    columns["classification"] = columns["classification"] & bits
    return columns
