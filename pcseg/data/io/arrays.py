"""NumPy and HDF5 files with arrays of points."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pcseg.data.io.columns import AXES, Columns, PointTable, guess_names
from pcseg.errors import UserError, reason

NAMES = {
    "pos": ("pos", "xyz", "points", "point", "coord", "coords", "position", "positions"),
    "color": ("color", "colors", "colour", "rgb"),  # codespell:ignore colour
    "normal": ("normal", "normals"),
}
"""Array names that other projects use for each field."""


def read_npy(path: Path) -> PointTable:
    """Return the columns of an ``.npy`` file: an array ``(N, C)`` of numbers, or records with named fields."""
    try:
        table = np.load(path, allow_pickle=False)
    except Exception as error:  # NumPy evaluates the header as Python: damaged ones raise errors of any kind
        raise UserError(
            f"{path}: not a readable .npy file ({reason(error)}). Write the file again."
        ) from error
    return PointTable(columns=_from_table(table, path))


def read_npz(path: Path) -> PointTable:
    """Return the columns of an ``.npz`` file with ``pos`` and optional ``color`` and ``normal``, or one table.

    Names that other projects use (``xyz``, ``coord``, ``rgb``, …) are recognized.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except Exception as error:  # zipfile, zlib and NumPy each raise their own
        raise UserError(
            f"{path}: not a readable .npz file ({reason(error)}). Write the file again."
        ) from error
    return PointTable(columns=_from_arrays(arrays, path))


def read_hdf5(path: Path) -> PointTable:
    """Return the columns of the datasets of an HDF5 file, with names as in :func:`read_npz`."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            arrays = {name: part[()] for name, part in file.items() if isinstance(part, h5py.Dataset)}
    except Exception as error:  # h5py raises many kinds of errors for damaged files
        raise UserError(f"{path}: cannot be read as HDF5 ({reason(error)}). Write the file again.") from error
    return PointTable(columns=_from_arrays(arrays, path))


def _from_table(table: np.ndarray, path: Path) -> Columns:
    """Return the columns of one array; record fields that are not numeric are dropped."""
    if table.dtype.names:
        columns = {name.lower(): table[name].reshape(-1) for name in table.dtype.names}
        return {name: column for name, column in columns.items() if column.dtype.kind in "fiub"}
    if table.ndim != 2 or table.dtype.kind not in "fiu":
        raise UserError(
            f"{path}: holds {table.dtype} of shape {table.shape}. Provide rows of numbers x, y, z, …"
        )
    return dict(zip(guess_names(table, path), table.T))


def _from_arrays(arrays: Mapping[str, np.ndarray], path: Path) -> Columns:
    """Return the columns of named arrays.

    Arrays ``(N,)`` beside the positions become columns of their own name, arrays ``(N, 3)`` become
    ``name.0`` to ``name.2``.
    """
    by_name = {key.lower(): np.asarray(array) for key, array in arrays.items()}
    columns: Columns = {}
    for field, names in NAMES.items():
        array = next((by_name[name] for name in names if name in by_name), None)
        if array is None or (array.ndim == 2 and array.shape[1] > 3 and field == "pos"):
            continue
        if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "fiu":
            raise UserError(
                f"{path}: {field} is {array.dtype} of shape {array.shape}. Provide numbers of shape (N, 3)."
            )
        columns |= dict(zip(AXES[field], array.T))
    tables = {name: array for name, array in by_name.items() if array.ndim == 2 and array.shape[1] >= 3}
    if "x" not in columns:
        if not tables:
            found = ", ".join(arrays) or "none"
            raise UserError(f"{path}: no array 'pos' of points (arrays: {found}). Add one of shape (N, 3).")
        columns = _from_table(next(iter(tables.values())), path) if len(tables) == 1 else {}
    count = len(next(iter((columns or tables).values())))
    others = {name: array for name, array in by_name.items() if array.shape in ((count,), (count, 1))}
    for name, array in tables.items():
        if array.shape == (count, 3):
            others |= {f"{name}.{axis}": column for axis, column in enumerate(array.T)}
    others = {name: array.reshape(-1) for name, array in others.items() if array.dtype.kind in "fiub"}
    return others | columns
