"""PLY files: NumPy and pandas read plain vertices, plyfile those that have lists of varying length or follow such.

Plain vertices are read here because plyfile takes 10 times as long for ASCII files (500,000 vertices: 20 s, here
2 s) and parses lists one by one (7 s per million). Open3D returns truncated files as complete. The header is parsed
here because plyfile refuses non-ASCII comments and headers with CR line ends.
"""

import io
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pcseg.data.io.columns import Columns, PointTable
from pcseg.data.io.lines import narrow, parse_numbers
from pcseg.errors import UserError, reason
from pcseg.files import atomic_path

_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"},
    **{"double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4"},
    **{"uint32": "u4", "float32": "f4", "float64": "f8", "int64": "i8", "uint64": "u8"},
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_START = re.compile(rb"(?:\xef\xbb\xbf)?ply[ \t]*(\r\n|\r|\n)")
_SPLAT = ("f_dc_0", "f_dc_1", "f_dc_2")
_FIRST_HARMONIC = 0.28209479177387814
"""Value of the spherical harmonic of degree 0."""


@dataclass(frozen=True, kw_only=True)
class Element:
    """One element of a PLY file, such as ``vertex`` or ``face``, with ``count`` rows.

    ``properties`` are the name and the NumPy type of each, and the type of the length of lists, empty for numbers.
    """

    name: str
    count: int
    properties: tuple[tuple[str, str, str], ...]

    @property
    def has_lists(self) -> bool:
        return any(length for _, _, length in self.properties)

    @property
    def smallest_row(self) -> int:
        """Bytes of a row without the content of its lists."""
        return sum(np.dtype(length or kind).itemsize for _, kind, length in self.properties)


@dataclass(frozen=True, kw_only=True)
class PlyHeader:
    """The header of a PLY file: its elements, offset of the data, byte order (``<``, ``>`` or empty for ASCII)."""

    elements: tuple[Element, ...]
    start: int
    order: str


def read_ply(path: Path) -> PointTable:
    """Return the properties of the vertices of a PLY file, ASCII or binary of either byte order, without lists.

    Raises:
        UserError: The file is damaged or truncated.

    Convention:
        Up to one row of extra bytes at the end is ignored. Gaussian splats get the color of their first harmonic.
    """
    data = path.read_bytes()
    header = parse_header(data, path)
    names = [element.name for element in header.elements]
    if "vertex" not in names:
        raise UserError(f"{path}: has no element 'vertex'. Export the points as vertices.")
    before, vertex = header.elements[: names.index("vertex")], header.elements[names.index("vertex")]
    for element in (*before, vertex):
        if element.count > len(data):  # no row is shorter than one byte
            raise _wrong_count(path, element.count, 0)
    is_last = vertex is header.elements[-1]
    if not header.order and not vertex.has_lists:
        skipped = sum(element.count for element in before)
        return _described(_read_text(data, header.start, vertex, skipped=skipped, path=path, is_last=is_last))
    start, table = header.start, None
    for element in (*before, vertex) if header.order else ():
        table = _read_rows(data, start, element, header.order)
        if table is None and not element.has_lists:
            raise _wrong_count(path, element.count, (len(data) - start) // element.smallest_row)
        if table is None:
            break
        start += table.nbytes
    if table is None:
        return _described(_read_any(data, header, path))
    if is_last and len(data) - start >= table.itemsize and data[start:].strip():
        raise _wrong_count(path, vertex.count, vertex.count + (len(data) - start) // table.itemsize)
    return _described({name: table[name] for name, _, length in vertex.properties if not length})


def parse_header(data: bytes, path: Path) -> PlyHeader:
    """Parse the header of a PLY file.

    Raises:
        UserError: Not a PLY file, or a damaged header.
    """
    first = _START.match(data)
    line_end = rb"\r" if first and first[1] == b"\r" else rb"(?:\r?\n|$)"
    end = re.compile(rb"[\r\n][ \t]*end_header[ \t]*" + line_end).search(data) if first else None
    if first is None or end is None:
        raise UserError(f"{path}: not a PLY file (header missing or truncated). Export the file again.")
    order, elements = None, []
    try:
        for line in re.split(r"[\r\n]+", data[first.end() : end.start()].decode("latin-1")):
            match line.split():
                case [] | ["comment" | "obj_info", *_]:
                    pass
                case ["format", name, _]:
                    order = _ORDERS[name]
                case ["element", name, count]:
                    elements.append(Element(name=name.lower(), count=int(count), properties=()))
                case ["property", "list", length, kind, name]:
                    elements[-1] = _with_property(elements[-1], name, _TYPES[kind], _TYPES[length])
                case ["property", kind, *name] if name:
                    elements[-1] = _with_property(elements[-1], " ".join(name), _TYPES[kind])
                case _:
                    raise ValueError(f"line {line[:80]!r}")
    except (ValueError, KeyError, IndexError) as error:
        raise UserError(f"{path}: damaged PLY header ({reason(error)}). Export the file again.") from error
    for element in elements:
        names = [name for name, *_ in element.properties]
        no_rows = element.count < 0 or (not names and element.count)
        if no_rows or len(set(names)) < len(names) or order is None:
            raise UserError(
                f"{path}: damaged PLY header ({element.count} of {element.name!r} with properties "
                f"{', '.join(names) or 'none'}). Export the file again."
            )
    return PlyHeader(elements=tuple(elements), start=end.end(), order=order or "")


ROWS_AT_ONCE = 100_000
"""Number of rows that are written at a time."""


def write_ply(path: Path, columns: Columns) -> None:
    """Write columns of equal length as the vertices of a binary PLY file."""
    from plyfile import PlyData, PlyElement

    count = len(next(iter(columns.values())))
    kinds = np.dtype([(name, column.dtype.newbyteorder("<")) for name, column in columns.items()])
    everything = np.broadcast_to(np.zeros((), kinds), count)  # for the header; takes no memory
    header = PlyData([PlyElement.describe(everything, "vertex")], byte_order="<").header
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(f"{header}\n".encode())
        for start in range(0, count, ROWS_AT_ONCE):
            table = np.empty(min(ROWS_AT_ONCE, count - start), kinds)
            for name, column in columns.items():
                table[name] = column[start : start + ROWS_AT_ONCE]
            file.write(table.tobytes())


def _described(columns: Columns) -> PointTable:
    """Return columns as a table; Gaussian splats get a color."""
    if "red" in columns or not set(_SPLAT) <= set(columns):
        return PointTable(columns=columns)
    others = {k: column for k, column in columns.items() if k not in ("nx", "ny", "nz") or column.any()}
    for name, part in zip(("red", "green", "blue"), _SPLAT):
        color = np.nan_to_num(0.5 + _FIRST_HARMONIC * columns[part]) * 255
        others[name] = np.clip(np.rint(color), 0, 255).astype(np.uint8)
    return PointTable(columns=others, remarks=("Gaussian splats: read as points with their mean color",))


def _with_property(element: Element, name: str, kind: str, length: str = "") -> Element:
    return replace(element, properties=(*element.properties, (name, kind, length)))


def _read_rows(data: bytes, start: int, element: Element, order: str) -> np.ndarray | None:
    """Return the rows of an element of a binary file, ``None`` if the file is too short or lists differ in length."""
    kinds: list[tuple] = []
    lengths: list[str] = []
    try:
        for name, kind, length in element.properties:
            if not length:
                kinds.append((name, order + kind))
                continue
            at = start + np.dtype(kinds).itemsize
            size = int(np.frombuffer(data, order + length, 1, at)[0]) if element.count else 0
            lengths.append(f"length of {name}")
            kinds += [(lengths[-1], order + length), (name, order + kind, (size,))]
        table = np.frombuffer(data, kinds, element.count, start)
    except (ValueError, TypeError):  # too few bytes, or an impossible length
        return None
    return table if all((table[length] == table[length][:1]).all() for length in lengths) else None


def _read_any(data: bytes, header: PlyHeader, path: Path) -> Columns:
    """Read a file with lists in or before its vertices by plyfile; slow, but such files are rare."""
    from plyfile import PlyData

    lines = ["ply", f"format {next(name for name, order in _ORDERS.items() if order == header.order)} 1.0"]
    for element in header.elements:
        lines.append(f"element {element.name} {element.count}")
        for index, (_, kind, length) in enumerate(element.properties):
            lines.append(f"property {f'list {length} ' if length else ''}{kind} {index}")
    body = data[header.start :] if header.order else _without_blank_lines(data[header.start :])
    stream = io.BytesIO("\n".join([*lines, "end_header\n"]).encode() + body)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns about empty lists in ASCII files
        try:
            table = PlyData.read(stream)["vertex"].data
        except Exception as error:  # plyfile raises its own, KeyError and ValueError
            raise UserError(f"{path}: damaged PLY file ({reason(error)}). Export the file again.") from error
    rows = sum(element.count for element in header.elements)
    rest = stream.read().strip() if header.order else b"".join(body.splitlines()[rows:])
    if len(rest) >= header.elements[-1].smallest_row:
        raise UserError(f"{path}: has {len(rest)} extra bytes at its end. Export the file again.")
    vertex = next(element for element in header.elements if element.name == "vertex")
    return {name: table[str(i)] for i, (name, _, length) in enumerate(vertex.properties) if not length}


def _read_text(
    data: bytes, start: int, element: Element, *, skipped: int, path: Path, is_last: bool
) -> Columns:
    """Read the vertices of an ASCII file behind ``skipped`` rows of other elements."""
    body, width, count = data[start:], len(element.properties), element.count
    ends = _line_ends(body)
    if len(ends) <= 2 or (np.diff(ends) <= 2).any():  # blank lines, or CR line ends
        body = _without_blank_lines(body)
        ends = _line_ends(body)
    if not skipped and count and len(body[: ends[1]].split()) != width:  # rows that span lines, or share one
        words = body.split()
        body = b"\n".join(b" ".join(words[i : i + width]) for i in range(0, len(words), width))
        ends = _line_ends(body)
    if len(ends) - 1 < skipped + count:
        raise _wrong_count(path, count, max(len(ends) - 1 - skipped, 0))
    lines, rest = body[ends[skipped] : ends[skipped + count]], body[ends[skipped + count] :].split()
    if is_last and len(rest) >= width:
        raise _wrong_count(path, count, count + len(rest) // width)
    if count == 0:
        return {name: np.empty(0) for name, *_ in element.properties}
    first_line = data[:start].count(b"\n") + 1 + skipped
    values = parse_numbers(lines, path=path, first_line=first_line)
    if values.shape != (count, width):
        raise UserError(
            f"{path}: announces {count} points of {width} values but holds {len(values)} of "
            f"{values.shape[1]}. The file is damaged. Export it again."
        )
    return {name: narrow(values[:, i], kind) for i, (name, kind, _) in enumerate(element.properties)}


def _line_ends(body: bytes) -> np.ndarray:
    """Return 0 and the offset behind each line."""
    ends = np.append(0, np.flatnonzero(np.frombuffer(body, dtype=np.uint8) == ord("\n")) + 1)
    return ends if ends[-1] == len(body) else np.append(ends, len(body))


def _without_blank_lines(body: bytes) -> bytes:
    return re.sub(rb"\s*[\r\n]\s*", b"\n", body).lstrip()


def _wrong_count(path: Path, announced: int, found: int) -> UserError:
    return UserError(
        f"{path}: announces {announced} points but holds {found}. The file is damaged. Export it again."
    )
