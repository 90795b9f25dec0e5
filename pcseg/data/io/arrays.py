"""NumPy and HDF5 files with arrays of points."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pcseg.data.io.columns import AXES, Columns, PointTable, apply_names, has_positions, normalize_name
from pcseg.data.io.guessing import guess_names
from pcseg.errors import UserError, reason

if TYPE_CHECKING:
    import h5py

NAMES = {
    "pos": ("pos", "xyz", "points", "point", "coord", "coords", "position", "positions", "vertices", "verts"),
    "color": ("color", "colors", "colour", "colours", "rgb", "rgba"),  # codespell:ignore colour,colours
    "normal": ("normal", "normals"),
}
"""Array names that other projects use for each field."""

_NOT_POINTS = (
    *NAMES["color"], *NAMES["normal"], "label", "labels", "class", "classes", "semantic", "seg", "segment", "instance",
    "face", "faces", "triangles", "edges", "cells", "scores", "prediction",
)  # fmt: skip
"""Names of arrays that are never positions."""

_WIDEST = 32
"""Arrays with more columns are images, masks or blocks, not points."""


def read_numpy(path: Path, names: Sequence[str] = ()) -> PointTable:
    """Return the columns of an array ``(N, C)`` or records in ``.npy``, or of the arrays in ``.npz``.

    An ``.npz`` file has ``pos`` and optional ``color`` and ``normal``, or one table. Names that other projects use
    (``xyz``, ``coord``, ``rgb``, …) are recognized. ``names`` are those of the columns of a table.

    Raises:
        UserError: A damaged file, or an array that does not look like points.
    """
    try:
        with path.open("rb") as stream:
            data = np.load(stream, allow_pickle=False)
            arrays = (
                {"array": data} if isinstance(data, np.ndarray) else {key: data[key] for key in data.files}
            )
    except Exception as error:  # NumPy evaluates headers as Python: damaged ones raise errors of any kind
        suffix = path.suffix.lower()
        raise UserError(
            f"{path}: not a readable {suffix} file ({reason(error)}). Write the file again."
        ) from error
    return from_arrays(arrays, path, names)


def read_hdf5(path: Path, names: Sequence[str] = ()) -> PointTable:
    """Return the columns of the datasets of an HDF5 file or of its one group of points, as in :func:`read_numpy`."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            groups, holding, chosen = find_points(file)
            if len(holding) < 2:
                arrays = {name: part[()] for name, part in groups.get(chosen, {}).items()}
    except Exception as error:  # h5py raises many kinds of errors for damaged files
        raise UserError(f"{path}: cannot be read as HDF5 ({reason(error)}). Write the file again.") from error
    if len(holding) > 1:
        raise UserError(
            f"{path}: holds {len(holding)} clouds, in the groups {', '.join(holding[:5])}. Write one file per cloud."
        )
    return from_arrays(arrays, path, names)


def find_points(file: "h5py.File") -> tuple[dict[str, dict[str, "h5py.Dataset"]], list[str], str]:
    """Return the datasets of every group, the groups that hold points, and the group to read."""
    groups = _find_datasets(file)
    holding = [group for group, parts in groups.items() if _names_points(parts)]
    return groups, holding, holding[0] if holding else min(groups, key=len, default="")


def _find_datasets(file: "h5py.File") -> dict[str, dict[str, "h5py.Dataset"]]:
    """Return the datasets of every group by their names, by the path of the group."""
    import h5py

    groups: dict[str, dict[str, h5py.Dataset]] = {}

    def add(path: str, part: object) -> None:
        if isinstance(part, h5py.Dataset):
            group, _, name = path.rpartition("/")
            groups.setdefault(group, {})[name] = part

    file.visititems(add)
    return groups


def _names_points(names: Mapping[str, object]) -> bool:
    """Return whether arrays of these names hold points."""
    lower = [normalize_name(name) for name in names]
    return (
        has_positions(lower) or any(name in NAMES["pos"] for name in lower) or {"data", "label"} <= set(lower)
    )


def from_arrays(arrays: Mapping[str, np.ndarray], path: Path, names: Sequence[str]) -> PointTable:
    """Return the columns of named arrays.

    Arrays ``(N,)`` beside the positions become columns of their own name, arrays ``(N, 3)`` become
    ``name.0`` to ``name.2``, and fields of records are taken as arrays.
    """
    by_name: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        fields = {name: array[name] for name in array.dtype.names} if array.dtype.names else {key: array}
        by_name |= {normalize_name(name): _decoded(part) for name, part in fields.items()}
    if {"data", "label"} <= set(by_name) and by_name["data"].ndim == 3:
        return _from_blocks(by_name["data"], by_name["label"], path)
    columns: Columns = {}
    remarks: list[str] = []
    key = None if has_positions(list(by_name)) else _find_points(by_name, path)
    if key is not None:
        table, remarks = _as_rows(by_name, key, path, named=bool(names))
        by_name[key], parts = table, list(table.T)
        if names:
            columns = apply_names(parts, names, path)
        elif key in NAMES["pos"] and len(parts) == 3:
            columns = dict(zip("xyz", parts))
        else:
            guessed, remark = guess_names(parts, path)
            columns, remarks = dict(zip(guessed, parts)), [*remarks, remark]
    count = len(next(iter(columns.values()), next(iter(by_name.values()))))
    for field in ("color", "normal"):
        columns |= _field_columns(by_name, field, count, path)
    columns = _others(by_name, count) | columns
    if names and key is None:
        columns = apply_names(list(columns.values()), names, path)
    return PointTable(columns=columns, remarks=tuple(remarks))


def _decoded(array: np.ndarray) -> np.ndarray:
    """Return bytes and objects that are words as strings, other arrays as they are."""
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "O" and array.size and all(isinstance(word, bytes | str) for word in array.flat):
        words = [word.decode("utf-8", "replace") if isinstance(word, bytes) else word for word in array.flat]
        return np.array(words).reshape(array.shape)
    return array


def _find_points(arrays: Mapping[str, np.ndarray], path: Path) -> str | None:
    """Return the name of the array with the positions, or ``None`` if there are several tables.

    Raises:
        UserError: There is none.
    """
    named = next((name for name in NAMES["pos"] if name in arrays), None)
    if named is not None:
        return named
    tables = [
        name
        for name, array in arrays.items()
        if array.ndim == 2
        and min(array.shape[1], 3) == 3
        and array.dtype.kind in "fiu"
        and name not in _NOT_POINTS
    ]
    if not tables:
        if list(arrays) == ["array"]:
            return "array"  # of an .npy file, with the reason in the next message
        found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "none"
        raise UserError(f"{path}: no array 'pos' of points (arrays: {found}). Add one of shape (N, 3).")
    return tables[0] if len(tables) == 1 else None


def _as_rows(
    arrays: Mapping[str, np.ndarray], key: str, path: Path, *, named: bool
) -> tuple[np.ndarray, list[str]]:
    """Return the array of the positions with one row per point, and remarks.

    Raises:
        UserError: The array does not look like points.
    """
    array = arrays[key]
    what = f"{path}: {key} is {array.dtype} of shape {array.shape}"
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise UserError(f"{what}. Provide rows of numbers x, y, z, …, of shape (N, 3) or wider.")
    rows, width = array.shape
    others = {len(other) for name, other in arrays.items() if other.ndim == 1 and name != key}
    remarks = []
    if rows not in others and (width in others or width > _WIDEST) and 3 <= rows <= 12 and width > 3:
        if array.dtype.kind != "f" or not (array != np.rint(array)).any():
            raise UserError(f"{what}, which are classes rather than points. Provide rows of x, y, z, ….")
        array, remarks = array.T, [f"{key}: transposed from {array.shape} to one row per point"]
    elif width > _WIDEST or (rows in (3, 4, 6) and width > 12):
        raise UserError(
            f"{what}, like an image, blocks or labels. Provide rows of x, y, z, …, of shape (N, 3)."
        )
    why = None if key in NAMES["pos"] or named else _why_not_positions(array)
    if why:
        raise UserError(
            f"{what}, perhaps {why}. Provide rows of x, y, z, …, or name the columns with --columns."
        )
    return array, remarks


def _why_not_positions(array: np.ndarray) -> str | None:
    """Return what an array without a name may be instead of positions."""
    sample = array[:: max(1, len(array) // 10_000)].astype(np.float64)
    if array.dtype.itemsize == 1 or (array.dtype.kind in "iu" and array.shape[1] == 3):
        return "colors, voxels or faces"
    if array.shape in ((3, 3), (4, 4)):
        return "a matrix"
    if len(array) > 4 and array.shape[1] == 3 and (np.abs(np.linalg.norm(sample, axis=1) - 1) < 1e-3).all():
        return "normals"
    if len(array) > 4 and sample.min() >= 0 and (np.abs(sample.sum(axis=1) - 1) < 1e-3).all():
        return "one-hot classes or probabilities"
    return None


def _from_blocks(data: np.ndarray, label: np.ndarray, path: Path) -> PointTable:
    """Return the points of the block files of S3DIS by Qi et al. (PointNet): data (B, P, 9) and label (B, P).

    Raises:
        UserError: Another layout, such as one label per object.
    """
    if data.shape[2] != 9 or label.shape != data.shape[:2]:
        raise UserError(
            f"{path}: data of shape {data.shape} with label of shape {label.shape} is not a cloud. Provide an array "
            "'pos' of shape (N, 3), and one label per point."
        )
    names = (*AXES["pos"], *AXES["color"], "x of room", "y of room", "z of room")
    columns = dict(zip(names, data.reshape(-1, 9).T))
    columns |= {"label": label.reshape(-1), "block": np.repeat(np.arange(len(data)), data.shape[1])}
    remark = f"blocks: {len(data)} blocks of {data.shape[1]} points; each has its own origin, so that blocks overlap"
    return PointTable(columns=columns, remarks=(remark,))


def _field_columns(arrays: Mapping[str, np.ndarray], field: str, count: int, path: Path) -> Columns:
    """Return the three columns of an array of colors, with or without alpha, or of normals; none without an array.

    Raises:
        UserError: The array has another shape.
    """
    key = next((name for name in NAMES[field] if name in arrays), None)
    array = None if key is None else arrays[key]
    if array is None or (key in ("rgb", "rgba") and array.size == count and array.dtype.kind in "iu"):
        return {}  # packed colors stay one column
    if array.ndim == 2 and array.shape[1] == count != array.shape[0] and array.shape[0] in (3, 4):
        array = array.T
    if array.ndim == 2 and array.shape[1] == 4 and field == "color":
        array = array[:, :3]
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "fiub":
        raise UserError(
            f"{path}: {field} is {array.dtype} of shape {array.shape}. Provide numbers of shape (N, 3)."
        )
    return dict(zip(AXES[field], array.T))


def _others(arrays: Mapping[str, np.ndarray], count: int) -> Columns:
    """Return the columns that arrays with one value, or three values, per point give."""
    columns: Columns = {}
    for name, array in arrays.items():
        if array.dtype.kind in "fiubU":
            if array.shape in ((count,), (count, 1), (1, count)):
                columns[name] = array.reshape(-1)
            elif array.shape == (count, 3):
                columns |= {f"{name}.{axis}": column for axis, column in enumerate(array.T)}
    return columns
