"""PLY files: plyfile parses the header and unusual layouts, NumPy and pandas read plain vertices.

Plain vertices are read here because plyfile takes 10 times as long for ASCII files (500,000 vertices: 20 s, here
2 s) and parses the faces after the vertices one by one (7 s per million; here they are skipped). Open3D returns
truncated files as complete.
"""

import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.data.io.columns import Columns, PointTable
from pcseg.data.io.text import parse_numbers
from pcseg.errors import UserError, reason
from pcseg.files import atomic_path

_END = re.compile(rb"[\r\n]end_header(?:\r\n|\r|\n|$)")
_COUNT = re.compile(rb"(?<=[\r\n])(element[ \t]+\S+[ \t]+)(-?\d+)")


@dataclass(frozen=True, kw_only=True)
class Element:
    """One element of a PLY file.

    Args:
        name: ``vertex``, ``face``, or another name.
        count: Number of rows.
        dtype: Record type of one row; properties that are lists have the type object.
    """

    name: str
    count: int
    dtype: np.dtype

    @property
    def has_lists(self) -> bool:
        return self.dtype.hasobject


@dataclass(frozen=True, kw_only=True)
class PlyHeader:
    """The header of a PLY file.

    Args:
        elements: Elements in the order of the file.
        start: Offset of the first byte of data.
        is_text: Whether the file is ASCII.
    """

    elements: tuple[Element, ...]
    start: int
    is_text: bool


def read_ply(path: Path) -> PointTable:
    """Return the properties of the vertices of a PLY file, ASCII or binary of either byte order.

    Raises:
        UserError: The file is damaged or truncated.
    """
    data = path.read_bytes()
    header = parse_header(data, path)
    start = header.start
    for element in header.elements:
        if element.count > len(data):  # no row is shorter than one byte
            raise _wrong_count(path, element.count, 0)
        if element.has_lists:
            return PointTable(columns=_read_any(path))
        if element.name == "vertex":
            break
        start = _skip(data, start, element, is_text=header.is_text)
    else:
        raise UserError(f"{path}: has no element 'vertex'. Export the points as vertices.")
    is_last = element is header.elements[-1]
    if header.is_text:
        return PointTable(columns=_read_text(data, start, element, path=path, is_last=is_last))
    here, size = len(data) - start, element.dtype.itemsize
    if here < element.count * size or (is_last and here != element.count * size):
        raise _wrong_count(path, element.count, here // size)
    table = np.frombuffer(data, dtype=element.dtype, count=element.count, offset=start)
    return PointTable(columns={name.lower(): table[name] for name in element.dtype.names or ()})


def parse_header(data: bytes, path: Path) -> PlyHeader:
    """Parse the header of a PLY file.

    Raises:
        UserError: Not a PLY file, or a damaged header.
    """
    from plyfile import PlyData

    end = _END.search(data)
    if not data.startswith(b"ply") or end is None:
        raise UserError(f"{path}: not a PLY file (header missing or truncated). Export the file again.")
    text = data[: end.end()]
    try:
        ply = PlyData.read(io.BytesIO(_COUNT.sub(rb"\g<1>0", text)))  # no rows: parses the header only
    except Exception as error:  # plyfile raises its own, ValueError and UnicodeDecodeError
        raise UserError(f"{path}: damaged PLY header ({reason(error)}). Export the file again.") from error
    elements = tuple(
        Element(name=element.name, count=int(count), dtype=np.dtype(element.dtype(ply.byte_order)))
        for element, (_, count) in zip(ply.elements, _COUNT.findall(text), strict=True)
    )
    for element in elements:
        names = [name.lower() for name in element.dtype.names or ()]
        if element.count < 0 or (not names and element.count) or len(set(names)) < len(names):
            raise UserError(
                f"{path}: damaged PLY header ({element.count} of {element.name!r} with properties "
                f"{', '.join(names) or 'none'}). Export the file again."
            )
    return PlyHeader(elements=elements, start=end.end(), is_text=ply.text)


def write_ply(path: Path, columns: Columns) -> None:
    """Write columns of equal length as the vertices of a binary PLY file."""
    from plyfile import PlyData, PlyElement

    table = np.empty(
        len(next(iter(columns.values()))), [(name, column.dtype) for name, column in columns.items()]
    )
    for name, column in columns.items():
        table[name] = column
    with atomic_path(path) as temporary:
        PlyData([PlyElement.describe(table, "vertex")], byte_order="<").write(temporary)


def _read_any(path: Path) -> Columns:
    """Read a file with lists in or before its vertices; slow, but such files are rare."""
    from plyfile import PlyData

    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns about empty lists in ASCII files
        try:
            ply = PlyData.read(stream)
            table = ply["vertex"].data
        except Exception as error:  # plyfile raises its own, KeyError and ValueError
            raise UserError(f"{path}: damaged PLY file ({reason(error)}). Export the file again.") from error
        rest = b"" if ply.text else stream.read()  # plyfile may have closed the stream of an ASCII file
        if rest.strip():
            raise UserError(f"{path}: has {len(rest)} extra bytes at its end. Export the file again.")
    return {name.lower(): table[name] for name in table.dtype.names if table.dtype[name].kind != "O"}


def _skip(data: bytes, start: int, element: Element, *, is_text: bool) -> int:
    """Return the offset behind an element without lists."""
    if not is_text:
        return start + element.count * element.dtype.itemsize
    for _ in range(element.count):
        start = data.find(b"\n", start) + 1 or len(data)
    return start


def _read_text(data: bytes, start: int, element: Element, *, path: Path, is_last: bool) -> Columns:
    """Read the vertices of an ASCII file."""
    body, count, names = data[start:], element.count, element.dtype.names or ()
    ends = np.flatnonzero(np.frombuffer(body, dtype=np.uint8) == ord("\n")) + 1
    if body and (not len(ends) or ends[-1] < len(body)):
        ends = np.append(ends, len(body))
    rows = len(body.split()) // max(len(names), 1) if is_last else len(ends)
    if rows < count or (is_last and rows > count):
        raise _wrong_count(path, count, rows)
    if count == 0:
        return {name.lower(): np.empty(0) for name in names}
    values = parse_numbers(body[: ends[count - 1]], path=path, first_line=data[:start].count(b"\n") + 1)
    if values.shape != (count, len(names)):
        raise UserError(
            f"{path}: announces {count} points of {len(names)} values but holds {len(values)} of "
            f"{values.shape[1]}. The file is damaged. Export it again."
        )
    return {name.lower(): values[:, i].astype(element.dtype[i]) for i, name in enumerate(names)}


def _wrong_count(path: Path, announced: int, found: int) -> UserError:
    return UserError(
        f"{path}: announces {announced} points but holds {found}. The file is damaged. Export it again."
    )
