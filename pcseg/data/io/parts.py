"""Read a file in parts: LAS, LAZ, binary PLY, and uncompressed NumPy files of any size."""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.data.io.arrays import NAMES, from_arrays
from pcseg.data.io.clouds import named, require_readable
from pcseg.data.io.columns import PointTable, normalize_name, parse_names
from pcseg.data.io.las import open_las
from pcseg.data.io.rows import Rows, binary_vertices
from pcseg.errors import UserError, reason

PART = 2_000_000
"""Points of a part."""


@dataclass(frozen=True, kw_only=True)
class PartedFile:
    """A file whose ``count`` points are read in parts.

    Args:
        tables: Yields the columns of the first points (first argument) of every so many (second argument).
        chunk: Number of points after which reading may begin without decompressing others.
    """

    path: Path
    count: int
    tables: Callable[[int, int], Iterator[PointTable]]
    chunk: int = 1

    def sample(self, count: int) -> PointTable:
        """Return about ``count`` points: at most 2000 short runs at even distances."""
        every = -(-max(1, self.count // 2000) // self.chunk) * self.chunk
        tables = list(self.tables(min(every, max(1, count * every // max(1, self.count))), every))
        columns = {name: np.concatenate([t.columns[name] for t in tables]) for name in tables[0].columns}
        return PointTable(columns=columns, unit=tables[0].unit, remarks=tables[0].remarks)


def open_parts(path: Path, *, columns: str | None = None) -> PartedFile:
    """Open a file for reading in parts.

    Raises:
        UserError: The file is missing or empty, or its format cannot be read in parts; the message names a conversion.
    """
    require_readable(path)
    suffix, names = path.suffix.lower(), parse_names(columns) if columns else ()
    if suffix in (".las", ".laz"):
        file = open_las(path)

        def las_tables(part: int, every: int) -> Iterator[PointTable]:
            for records in file.records(part, every=every, fields="position"):
                yield named(file.table(records), names, path)

        chunk = 50_000 if file.header.are_points_compressed else 1  # of all usual writers
        return PartedFile(path=path, count=file.header.point_count, tables=las_tables, chunk=chunk)
    rows = binary_vertices(path) if suffix == ".ply" else None
    if rows is not None:

        def ply_tables(part: int, every: int) -> Iterator[PointTable]:
            for table in rows.parts(part, every):
                yield named(PointTable(columns={n: table[n] for n in table.dtype.names or ()}), names, path)

        return PartedFile(path=path, count=rows.count, tables=ply_tables)
    if suffix in (".npy", ".npz"):
        return _open_arrays(path, names)
    advice = "Write it as binary PLY without lists" if suffix == ".ply" else "Convert it to LAZ or binary PLY"
    raise UserError(f"{path}: too large for --memory, and {suffix} is not read in parts. {advice}.")


def _open_arrays(path: Path, names: Sequence[str]) -> PartedFile:
    """Open ``.npy`` and uncompressed ``.npz`` files whose columns have names."""
    arrays: dict[str, Rows] = {}
    try:
        with path.open("rb") as stream:
            if path.suffix.lower() == ".npy":
                arrays["array"] = _array_at(path, stream, 0)
            else:
                with zipfile.ZipFile(stream) as file:
                    entries = file.infolist()
                for entry in entries:
                    stream.seek(entry.header_offset + 26)
                    lengths = np.frombuffer(stream.read(4), "<u2")
                    if entry.compress_type != zipfile.ZIP_STORED:
                        raise UserError(
                            f"{path}: too large for --memory, and compressed. Write it with numpy.savez."
                        )
                    start = entry.header_offset + 30 + int(lengths.sum())
                    arrays[entry.filename.removesuffix(".npy")] = _array_at(path, stream, start)
    except UserError:
        raise
    except Exception as error:  # zipfile and NumPy each raise their own
        raise UserError(f"{path}: cannot be read in parts ({reason(error)}). Write it again.") from error
    keys = [key for key in arrays if normalize_name(key) in (*NAMES["pos"], "x")]
    if path.suffix.lower() == ".npy":
        keys = ["array"] if names or arrays["array"].kind.names != ("f0",) else []
    if not keys:
        raise UserError(
            f"{path}: too large for --memory, and its columns have no names. Name the positions 'pos', or pass "
            "--columns."
        )
    count = arrays[keys[0]].count
    used = {key: rows for key, rows in arrays.items() if rows.count == count}

    def tables(part: int, every: int) -> Iterator[PointTable]:
        for parts in zip(*(rows.parts(part, every) for rows in used.values())):
            plain = {k: p["f0"] if p.dtype.names == ("f0",) else p for k, p in zip(used, parts)}
            yield named(from_arrays(plain, path, names), (), path)

    return PartedFile(path=path, count=count, tables=tables)


def _array_at(path: Path, stream, start: int) -> Rows:
    """Return the rows of the array whose header begins at an offset."""
    stream.seek(start)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, kind = read(stream)
    if kind.hasobject or (by_columns and len(shape) > 1):
        raise ValueError("objects, or stored by columns")
    if not kind.names:
        kind = np.dtype([("f0", kind, shape[1:])])
    return Rows(path=path, start=stream.seek(0, 1), kind=kind, count=shape[0] if shape else 1)
