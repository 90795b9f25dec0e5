"""PLY files: the vertices as columns, and coloured predictions."""

from pathlib import Path

import numpy as np

from pcseg.data.io.tables import Columns, parse_numbers
from pcseg.errors import UserError
from pcseg.files import atomic_path

TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
NAMES = {
    "i1": "char",
    "u1": "uchar",
    "i2": "short",
    "u2": "ushort",
    "i4": "int",
    "f4": "float",
    "f8": "double",
}
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}


Fields = list[tuple[str, str]]
"""Name and numpy type of each property of an element, ``list`` for lists."""


def read_ply(path: Path) -> Columns:
    """The properties of the vertices of a PLY file: ASCII or binary of either byte order, in any order.

    Raises:
        UserError: The file is damaged, ends early, or its vertices have lists or come after faces.
    """
    data = path.read_bytes()
    order, elements, start = parse_header(data, path)
    fields: Fields = []
    for name, count, fields in elements:
        if any(kind == "list" for _, kind in fields):
            raise UserError(f"{path}: lists before or in the vertices are not supported; write it anew")
        if name == "vertex":
            break
        start = skip_rows(data, start, count, fields, ascii=order == "=")
    else:
        raise UserError(f"{path}: no vertices")
    is_last = elements[-1][0] == "vertex"
    if order == "=":
        return read_ascii(data, start, count, fields, path=path, is_last=is_last)
    row = np.dtype([(field, order + kind) for field, kind in fields])
    here = (len(data) - start) // row.itemsize
    if here < count or (is_last and len(data) - start != count * row.itemsize):
        raise UserError(f"{path}: announces {count} points but holds {here}; the file is damaged")
    table = np.frombuffer(data, dtype=row, count=count, offset=start)
    return {field.lower(): table[field] for field, _ in fields}


def parse_header(data: bytes, path: Path) -> tuple[str, list[tuple[str, int, Fields]], int]:
    """Byte order, the elements (name, count, properties) and the offset of the first byte of data."""
    end = data.find(b"end_header")
    if not data.startswith(b"ply") or end < 0:
        raise UserError(f"{path}: not a PLY file (its header is missing or cut off)")
    start = data.find(b"\n", end) + 1 or len(data)
    order: str | None = None
    elements: list[tuple[str, int, Fields]] = []
    for line in data[:end].decode("ascii", errors="replace").splitlines()[1:]:
        words = line.split()
        try:
            match words:
                case ["format", name, *_]:
                    order = ORDERS[name]
                case ["element", name, count]:
                    elements.append((name, int(count), []))
                case ["property", "list", *_, name]:
                    elements[-1][2].append((name, "list"))
                case ["property", kind, name]:
                    elements[-1][2].append((name, TYPES[kind]))
        except (KeyError, ValueError, IndexError) as error:
            raise UserError(f"{path}: damaged PLY header, line {line.strip()!r}") from error
    if order is None:
        raise UserError(f"{path}: the PLY header names no format")
    for element, count, fields in elements:
        names = [name.lower() for name, _ in fields]
        if count < 0 or (not names and count) or len(set(names)) < len(names):
            raise UserError(
                f"{path}: damaged PLY header: {count} of {element!r} with {', '.join(names) or 'nothing'}"
            )
    return order, elements, start


def skip_rows(data: bytes, start: int, count: int, fields: Fields, *, ascii: bool) -> int:
    """The offset behind ``count`` rows of an element that comes before the vertices."""
    if not ascii:
        return start + count * sum(np.dtype(kind).itemsize for _, kind in fields)
    for _ in range(count):
        start = data.find(b"\n", start) + 1 or len(data)
    return start


def read_ascii(data: bytes, start: int, count: int, fields: Fields, *, path: Path, is_last: bool) -> Columns:
    """The vertices of an ASCII file."""
    body = data[start:]
    ends = np.flatnonzero(np.frombuffer(body, dtype=np.uint8) == ord("\n")) + 1
    if body and (not len(ends) or ends[-1] < len(body)):
        ends = np.append(ends, len(body))
    rows = len(body.split()) // max(len(fields), 1) if is_last else len(ends)
    if rows < count or (is_last and rows > count):
        raise UserError(f"{path}: announces {count} points but holds {rows}; the file is damaged")
    if count == 0:
        return {name.lower(): np.empty(0) for name, _ in fields}
    values = parse_numbers(body[: ends[count - 1]], path=path, first_line=data[:start].count(b"\n") + 1)
    if values.shape != (count, len(fields)):
        raise UserError(
            f"{path}: announces {count} points of {len(fields)} values but holds {len(values)} of "
            f"{values.shape[1]}; the file is damaged"
        )
    return {name.lower(): values[:, index].astype(kind) for index, (name, kind) in enumerate(fields)}


def write_ply(path: Path, columns: Columns) -> None:
    """Write columns of equal length as the vertices of a binary PLY file, under a temporary name first."""
    row = np.dtype([(name, column.dtype.newbyteorder("<")) for name, column in columns.items()])
    table = np.empty(len(next(iter(columns.values()))), dtype=row)
    for name, column in columns.items():
        table[name] = column
    properties = "".join(
        f"property {NAMES[column.dtype.str[1:]]} {name}\n" for name, column in columns.items()
    )
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{properties}end_header\n"
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(header.encode())
        table.tofile(file)
