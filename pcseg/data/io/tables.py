"""Tables of points: text files, ``.npy`` and ``.npz``, as columns by name."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pcseg.errors import UserError, reason

Columns = dict[str, np.ndarray]
"""One 1-D array a column, by its name in small letters."""

# names under which .npz files of other projects keep whole fields
FIELDS = {
    "pos": ("pos", "xyz", "points", "point", "coord", "coords", "position", "positions"),
    "color": ("color", "colors", "colour", "rgb"),
    "normal": ("normal", "normals"),
}
AXES = {"pos": ("x", "y", "z"), "color": ("red", "green", "blue"), "normal": ("nx", "ny", "nz")}


def read_text(path: Path) -> Columns:
    """Columns of a text file with one point a line; a header line names them, else their values tell.

    Separators are blanks, commas, semicolons or tabs. A first line that only counts the points is skipped.
    """
    data = path.read_bytes()
    if b"\0" in data[:4096]:
        raise UserError(f"{path}: not a text file")
    names: list[str] = []
    start, line_number = 0, 1
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end + 1
        line = data[start:end].decode("utf-8", errors="replace").strip()
        fields = split_line(line)
        if fields and all(map(is_number, fields)) and not is_count(fields, data[end : end + 4096]):
            break
        if fields and not is_number(fields[0]):
            names = fields
        start, line_number = end, line_number + 1
    else:
        raise UserError(f"{path}: holds no points")
    values = parse_numbers(data[start:], path=path, first_line=line_number)
    named = [name.strip('"').lower() for name in names]
    if len(named) != values.shape[1] or not {"x", "y", "z"} <= set(named):
        named = guess_names(values, path)
    return dict(zip(named, values.T))


def split_line(line: str) -> list[str]:
    """The fields of one line, without the marks that start a comment."""
    return [field for field in re.split(r"[\s,;]+", line.lstrip("#/ ")) if field]


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_count(fields: Sequence[str], following: bytes) -> bool:
    """Whether a line is the number of points, as ``.pts`` files have it, and not a point."""
    after = following.split(b"\n", 1)[0].decode("utf-8", errors="replace")
    return len(fields) == 1 and fields[0].isdigit() and len(split_line(after)) >= 3


def parse_numbers(data: bytes, *, path: Path, first_line: int) -> np.ndarray:
    """``(N, C)`` float64 of lines of numbers; ``first_line`` is the number of the first one in ``path``.

    Raises:
        UserError: Some line has another number of fields or a field that is no number; the line is named.
    """
    first = data.lstrip()[: data.lstrip().find(b"\n")] if b"\n" in data.lstrip() else data
    separator = next((mark for mark in (",", ";") if mark.encode() in first), r"\s+")
    try:
        values = parse_with_pandas(data, separator)
    except ImportError:
        values = parse_with_numpy(data, separator)
    except (ValueError, OverflowError):
        values = None
    # a short line is filled with NaN without a word, so every NaN must be written in the text
    if values is None or np.isnan(values).sum() != data.lower().count(b"nan"):
        bad = find_bad_line(data)
        if bad is not None:
            raise UserError(f"{path}, line {first_line + bad[0]}: {bad[1]}; mend or delete the line")
    if values is None:
        raise UserError(f"{path}: the numbers cannot be read; write decimal points and one separator")
    return values


def parse_with_pandas(data: bytes, separator: str) -> np.ndarray:
    import pandas as pd

    frame = pd.read_csv(io.BytesIO(data), sep=separator, header=None, dtype=np.float64, skipinitialspace=True)
    return frame.to_numpy()


def parse_with_numpy(data: bytes, separator: str) -> np.ndarray:
    """The same as :func:`parse_with_pandas` without the package, about five times slower."""
    delimiter = None if separator == r"\s+" else separator
    return np.loadtxt(io.BytesIO(data), delimiter=delimiter, ndmin=2)


def find_bad_line(data: bytes) -> tuple[int, str] | None:
    """Number (from 0) of the first line that is not like the first one, and what is wrong with it."""
    width = 0
    for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines()):
        fields = split_line(line) if not line.startswith(("#", "/")) else [line]
        if not fields:
            continue
        width = width or len(fields)
        word = next((field for field in fields if not is_number(field)), None)
        if word is not None:
            return number, f"{word[:40]!r} is not a number"
        if len(fields) != width:
            return number, f"{len(fields)} values where the lines before have {width}"
    return None


def guess_names(values: np.ndarray, path: Path) -> list[str]:
    """Names of the columns of a table without a header: x y z, then colour and normal by their values.

    Raises:
        UserError: There are fewer than three columns.

    Convention:
        A ``.pts`` file of seven columns or more has the intensity before the colour; it may be in 0..255 too.
    """
    width = values.shape[1]
    if width < 3:
        raise UserError(f"{path}: {width} column(s), but x, y and z are needed")
    names = [*"xyz", *(f"column {index + 1}" for index in range(3, width))]
    sample = values[:: max(1, len(values) // 10000)]
    index, found = 3, set()
    if path.suffix.lower() == ".pts" and width >= 7:
        names[3], index = "intensity", 4
    while index + 3 <= width:
        triple = sample[:, index : index + 3]
        kind = "normal" if is_normal(triple) else "color" if is_color(triple) else None
        if kind and kind not in found:
            names[index : index + 3] = AXES[kind]
            found.add(kind)
            index += 3
        else:
            index += 1
    return names


def is_normal(triple: np.ndarray) -> bool:
    """Whether nearly all rows are unit vectors."""
    length = np.linalg.norm(triple, axis=1)
    return bool(np.mean(np.abs(length - 1) < 0.02) > 0.9) and bool((triple < 0).any())


def is_color(triple: np.ndarray) -> bool:
    """Whether all values are whole numbers in 0..255, or all lie in 0..1."""
    finite = triple[np.isfinite(triple).all(axis=1)]
    if not len(finite) or finite.min() < 0:
        return False
    return bool(finite.max() <= 1) or bool(finite.max() <= 255 and (finite == np.round(finite)).all())


def read_npy(path: Path) -> Columns:
    """Columns of an ``.npy`` file: ``(N, C)`` numbers, or records with named fields."""
    try:
        table = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged header is parsed as Python, which has errors of all kinds
        raise UserError(f"{path}: not a readable .npy file ({reason(error)})") from error
    return columns_of(table, path)


def columns_of(table: np.ndarray, path: Path) -> Columns:
    """Columns of one array; fields of records that are no numbers are left out."""
    if table.dtype.names:
        columns = {name.lower(): table[name].reshape(-1) for name in table.dtype.names}
        return {name: column for name, column in columns.items() if column.dtype.kind in "fiub"}
    if table.ndim != 2 or table.dtype.kind not in "fiu":
        raise UserError(
            f"{path}: an array of {table.dtype} with shape {table.shape}, but rows of x, y, z … are needed"
        )
    return dict(zip(guess_names(table, path), table.T))


def read_npz(path: Path) -> Columns:
    """Columns of an ``.npz`` file with ``pos`` (N, 3) and perhaps ``color`` and ``normal``, or one table.

    The names that other projects use for these (``xyz``, ``coord``, ``rgb`` …) are understood.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except Exception as error:  # zipfile, zlib and numpy all have their own
        raise UserError(f"{path}: not a readable .npz file ({reason(error)})") from error
    return columns_of_arrays(arrays, path)


def read_hdf5(path: Path) -> Columns:
    """Columns of the datasets of an HDF5 file, as :func:`read_npz`."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            arrays = {name: part[()] for name, part in file.items() if isinstance(part, h5py.Dataset)}
    except Exception as error:  # h5py raises nearly everything on damaged files
        raise UserError(f"{path}: cannot be read as HDF5 ({reason(error)})") from error
    return columns_of_arrays(arrays, path)


def columns_of_arrays(arrays: Mapping[str, np.ndarray], path: Path) -> Columns:
    """Columns of whole fields by name.

    Arrays (N,) beside ``pos`` become columns under their own names, arrays (N, 3) as ``name.0`` to ``name.2``.
    """
    by_name = {key.lower(): np.asarray(array) for key, array in arrays.items()}
    columns: Columns = {}
    for field, others in FIELDS.items():
        array = next((by_name[name] for name in others if name in by_name), None)
        if array is None or (array.ndim == 2 and array.shape[1] > 3 and field == "pos"):
            continue
        if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "fiu":
            raise UserError(f"{path}: {field} has shape {array.shape} of {array.dtype}, but (N, 3) is needed")
        columns |= dict(zip(AXES[field], array.T))
    tables = {name: array for name, array in by_name.items() if array.ndim == 2 and array.shape[1] >= 3}
    if "x" not in columns:
        if not tables:
            raise UserError(f"{path}: no array 'pos' of points (it has {', '.join(arrays) or 'nothing'})")
        columns = columns_of(next(iter(tables.values())), path) if len(tables) == 1 else {}
    count = len(next(iter((columns or tables).values())))
    others = {name: array for name, array in by_name.items() if array.shape in ((count,), (count, 1))}
    for name, array in tables.items():
        if array.shape == (count, 3):
            others |= {f"{name}.{axis}": column for axis, column in enumerate(array.T)}
    others = {name: array.reshape(-1) for name, array in others.items() if array.dtype.kind in "fiub"}
    return others | columns
