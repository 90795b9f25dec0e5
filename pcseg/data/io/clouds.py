"""Point clouds from any supported file, in the units, axes and row order of the file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from pcseg.data.alignment import Frame, Units, Up, find_frame
from pcseg.data.io.arrays import read_hdf5, read_numpy
from pcseg.data.io.colors import stack_color
from pcseg.data.io.columns import (
    PointTable,
    apply_names,
    normalize_name,
    parse_names,
    stack_field,
    stack_normal,
)
from pcseg.data.io.e57 import read_e57
from pcseg.data.io.las import read_las
from pcseg.data.io.pcd import read_pcd
from pcseg.data.io.ply import read_ply
from pcseg.data.io.text import read_text
from pcseg.data.scenes import read_scene
from pcseg.errors import UserError, reason
from pcseg.labels import LabelSchema

CLOUD_READERS: dict[str, Callable[..., PointTable]] = {
    ".ply": read_ply,
    ".pcd": read_pcd,
    ".las": read_las,
    ".laz": read_las,
    ".e57": read_e57,
    **dict.fromkeys((".xyz", ".txt", ".csv", ".pts", ".asc", ".xyzrgb", ".xyzn"), read_text),
    ".npy": read_numpy,
    ".npz": read_numpy,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
}
"""The reader of each file suffix."""

_TABLE_READERS = (read_text, read_numpy, read_hdf5)
"""Readers of files whose columns may lack names; they take names as second argument."""

_EXPORT_AS = {".rcp": "LAS", ".ptx": "PLY", ".obj": "PLY"}
"""Formats that cannot be read, and the format to export them as."""


@dataclass(kw_only=True)
class Cloud:
    """The points of one file; row i is point i of the file.

    Args:
        source: The file.
        pos: Coordinates (N, 3), float32 or float64 as in the file.
        color: Colors (N, 3) uint8, or ``None``.
        normal: Unit normals (N, 3) float32, or ``None``.
        label: Classes (N,) int16 of ``schema``, -1 for unlabeled points, or ``None``.
        schema: The label schema of a prepared scene, or ``None``.
        unit, viewpoint, remarks: As in :class:`~pcseg.data.io.columns.PointTable`; remarks also state the color scale.

    Convention:
        ``pos`` has the units and axes of the file, and may hold NaN. A prepared scene, which has a schema, is
        in meters with z up.
    """

    source: Path
    pos: np.ndarray
    color: np.ndarray | None = None
    normal: np.ndarray | None = None
    label: np.ndarray | None = None
    schema: LabelSchema | None = None
    unit: str | None = None
    viewpoint: np.ndarray | None = None
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pos)

    @cached_property
    def finite(self) -> np.ndarray:
        """Mask ``(N,)`` of the points with finite coordinates."""
        return np.asarray(np.isfinite(self.pos).all(axis=1))


def read_cloud(path: Path, *, columns: str | None = None, allow_empty: bool = False) -> Cloud:
    """Read a point cloud or a prepared scene; the suffix selects the reader.

    Args:
        path: The file.
        columns: Names of all columns in order, such as ``x,y,z,red,green,blue,label``, instead of those in the file or
            guessed ones; ``-`` ignores a column.
        allow_empty: Accept a file without points, or without finite coordinates.

    Raises:
        UserError: The file is missing, damaged or empty, has an unknown suffix, or has no x, y and z.
    """
    path = Path(path)
    require_readable(path)
    if columns is None and is_prepared(path):
        scene = read_scene(path)
        cloud = Cloud(source=path, pos=scene.pos, color=scene.color, normal=scene.normal, label=scene.label,
                      schema=scene.schema)  # fmt: skip
    else:
        cloud = from_table(read_table(path, columns=columns), path)
    if not allow_empty and not cloud.finite.any():
        what = "all coordinates are NaN" if len(cloud) else "holds no points"
        raise UserError(f"{path}: {what}. Choose another file.")
    return cloud


def read_table(path: Path, *, columns: str | None = None) -> PointTable:
    """Return the columns of a file by lower-case name, without what programs add to names, and what the file states.

    Arguments as in :func:`read_cloud`.

    Raises:
        UserError: As :func:`read_cloud`.
    """
    require_readable(path)
    reader, names = CLOUD_READERS[path.suffix.lower()], parse_names(columns) if columns else ()
    try:
        with np.errstate(all="ignore"):  # overflow gives infinite values, which are checked later
            table = reader(path, names) if reader in _TABLE_READERS else reader(path)
    except (MemoryError, OSError) as error:
        raise UserError(
            f"{path}: cannot be read ({type(error).__name__}). Check that it is not damaged or too large."
        ) from error
    return named(table, names if reader not in _TABLE_READERS else (), path)


def named(table: PointTable, names: Sequence[str], path: Path) -> PointTable:
    """Return a table with columns under ``names``, or under their own without what programs add to names."""
    if names:
        return replace(table, columns=apply_names(list(table.columns.values()), names, path))
    plain = {name: normalize_name(name) for name in table.columns}
    twice = [name for name in plain.values() if list(plain.values()).count(name) > 1]
    return replace(
        table,
        columns={name if plain[name] in twice else plain[name]: part for name, part in table.columns.items()},
    )


def from_table(table: PointTable, path: Path, *, like: PointTable | None = None) -> Cloud:
    """Build a cloud from the columns of a file; unknown columns are ignored.

    Args:
        table: The columns.
        path: The file.
        like: Columns of the same file that decide the scale of colors, if ``table`` is a part of it.

    Raises:
        UserError: A column x, y or z is missing, or columns differ in length.
    """
    columns = table.columns
    pos = stack_field(columns, "pos")
    if pos is None:
        found = ", ".join(columns) or "none"
        raise UserError(
            f"{path}: no columns x, y and z of numbers (columns: {found}). Name the coordinates x, y and z, or pass "
            "--columns with the name of every column."
        )
    if pos.dtype != np.float32:
        pos = pos.astype(np.float64, copy=False)
    lengths = {name: len(column) for name, column in columns.items() if len(column) != len(pos)}
    if lengths:
        raise UserError(f"{path}: {len(pos)} positions, but {lengths} differ in length. Export it again.")
    color, remarks = stack_color(columns, path, like=None if like is None else like.columns)
    return Cloud(
        source=path,
        pos=pos,
        color=color,
        normal=stack_normal(columns),
        unit=table.unit,
        viewpoint=table.viewpoint,
        remarks=(*table.remarks, *remarks),
    )


def require_readable(path: Path) -> None:
    """Raise :class:`UserError` unless ``path`` is a non-empty file with a known suffix."""
    suffix = path.suffix.lower()
    if path.is_dir():
        raise UserError(f"{path}: is a folder. Choose a file.")
    if not path.is_file():
        raise UserError(f"{path}: no such file. Check the path.")
    if suffix not in CLOUD_READERS:
        advice = f"Export it as {_EXPORT_AS.get(suffix, 'PLY')}, for example with CloudCompare."
        raise UserError(f"{path}: unknown format {suffix!r} (known: {', '.join(CLOUD_READERS)}). {advice}")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty. Export it again.")


def is_prepared(path: Path) -> bool:
    """Return whether an HDF5 file is a prepared scene."""
    import h5py

    if path.suffix.lower() != ".h5":
        return False
    try:
        with h5py.File(path, "r") as file:
            return "label_schema" in file.attrs or "format_version" in file.attrs
    except Exception as error:  # h5py raises many kinds of errors for damaged files
        raise UserError(f"{path}: cannot be read as HDF5 ({reason(error)}). Write the file again.") from error


def cloud_frame(cloud: Cloud, rows: np.ndarray | slice, *, units: Units, up: Up) -> Frame:
    """Return the units and axes of a cloud, estimated from the points ``rows`` unless they are given.

    Raises:
        UserError: ``units`` or ``up`` is unknown, or given for a prepared scene.
    """
    prepared = cloud.schema is not None
    if prepared and (units, up) != ("auto", "auto"):
        raise UserError(f"{cloud.source}: a prepared scene, in meters with z up. Leave out --units and --up.")
    pos = cloud.pos[rows]
    return find_frame(pos, units=units, up=up, prepared=prepared or not len(pos), file_unit=cloud.unit,
                      viewpoint=cloud.viewpoint)  # fmt: skip
