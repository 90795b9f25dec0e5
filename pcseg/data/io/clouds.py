"""Point clouds from any file: what the file gives, in its own units, axes and row order."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pcseg.data.io.e57 import read_e57
from pcseg.data.io.las import read_las
from pcseg.data.io.pcd import read_pcd
from pcseg.data.io.ply import read_ply
from pcseg.data.io.tables import Columns, read_hdf5, read_npy, read_npz, read_text
from pcseg.errors import UserError, reason
from pcseg.labels import LabelSchema

READERS = {
    ".ply": read_ply,
    ".pcd": read_pcd,
    ".xyz": read_text,
    ".txt": read_text,
    ".csv": read_text,
    ".pts": read_text,
    ".npy": read_npy,
    ".npz": read_npz,
    ".las": read_las,
    ".laz": read_las,
    ".e57": read_e57,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
}
CONVERT = {".rcp": "LAS", ".ptx": "PLY", ".obj": "PLY"}
"""What files that cannot be read are turned into."""

COLOR_NAMES = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
NORMAL_NAMES = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"))


@dataclass(kw_only=True)
class Cloud:
    """The points of one file; row i is point i of the file.

    Args:
        source: The file.
        pos: Coordinates (N, 3), float32 or float64 as the file has them.
        color: Colours (N, 3) uint8, or ``None``.
        normal: Unit normals (N, 3) float32, or ``None``.
        label: Classes (N,) int16 by ``schema``, -1 where there is none, or ``None``.
        schema: The label schema of a prepared scene, or ``None``.

    Convention:
        ``pos`` is in the file's own units and axes, and may hold NaN. A prepared scene (one with a schema) is
        in metres with z up.
    """

    source: Path
    pos: np.ndarray
    color: np.ndarray | None = None
    normal: np.ndarray | None = None
    label: np.ndarray | None = None
    schema: LabelSchema | None = None

    def __len__(self) -> int:
        return len(self.pos)

    @cached_property
    def finite(self) -> np.ndarray:
        """``(N,)`` bool: the points that have a position."""
        return np.asarray(np.isfinite(self.pos).all(axis=1))


def read_cloud(path: Path, *, allow_empty: bool = False) -> Cloud:
    """Read a file of one of the kinds of :data:`READERS`, among them prepared scenes.

    Args:
        path: The file.
        allow_empty: Take a file that holds no point, or none with a position.

    Raises:
        UserError: The file is missing, of an unknown kind, damaged, empty, or has no x, y and z.
    """
    path = Path(path)
    require_readable(path)
    cloud = read_prepared(path) if is_prepared(path) else from_columns(read_columns(path), path)
    if not allow_empty and not cloud.finite.any():
        raise UserError(f"{path}: holds no points" + (" with a position (all are NaN)" if len(cloud) else ""))
    return cloud


def require_readable(path: Path) -> None:
    """Raise :class:`UserError` unless ``path`` is a file of a known kind that is not empty."""
    suffix = path.suffix.lower()
    if not path.is_file():
        raise UserError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    if suffix not in READERS:
        advice = (
            f"; turn it into {CONVERT[suffix]}, for example with CloudCompare" if suffix in CONVERT else ""
        )
        raise UserError(
            f"{path}: files of kind {suffix!r} are unknown; known are {', '.join(READERS)}{advice}"
        )
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")


def read_columns(path: Path) -> Columns:
    """What a file holds, by name: lower case, without the marks that programs put before or after names.

    Raises:
        UserError: As :func:`read_cloud`.
    """
    require_readable(path)
    try:
        with np.errstate(all="ignore"):  # numbers that do not fit are seen in the columns
            columns = READERS[path.suffix.lower()](path)
    except (MemoryError, OSError) as error:
        raise UserError(
            f"{path}: cannot be read ({type(error).__name__}); is it damaged or too large?"
        ) from error
    # CloudCompare writes "scalar_label", others leave blanks around names
    return {name.strip().lower().removeprefix("scalar_"): column for name, column in columns.items()}


def is_prepared(path: Path) -> bool:
    """Whether an HDF5 file is a prepared scene."""
    import h5py

    if path.suffix.lower() != ".h5":
        return False
    try:
        with h5py.File(path, "r") as file:
            return "label_schema" in file.attrs or "format_version" in file.attrs
    except Exception as error:  # h5py raises nearly everything on damaged files
        raise UserError(f"{path}: cannot be read as HDF5 ({reason(error)})") from error


def read_prepared(path: Path) -> Cloud:
    """A prepared scene as a cloud."""
    from pcseg.data.scenes import read_scene

    scene = read_scene(path)
    return Cloud(
        source=path,
        pos=scene.pos,
        color=scene.color,
        normal=scene.normal,
        label=scene.label,
        schema=scene.schema,
    )


def from_columns(columns: Columns, path: Path) -> Cloud:
    """Gather the columns of a file into fields; columns that are not known are left out.

    Raises:
        UserError: There are no columns x, y and z.
    """
    pos = stacked(columns, (("x", "y", "z"),))
    if pos is None:
        raise UserError(f"{path}: no columns x, y and z (it has {', '.join(columns) or 'none'})")
    if pos.dtype != np.float32:
        pos = pos.astype(np.float64)
    lengths = {name: len(column) for name, column in columns.items() if len(column) != len(pos)}
    if lengths:
        raise UserError(f"{path}: {len(pos)} positions, but {lengths}: fields differ in length")
    color = stacked(columns, COLOR_NAMES)
    if color is not None:
        color = color_bytes(color)
    else:
        packed = next((columns[name] for name in ("rgb", "rgba") if name in columns), None)
        color = None if packed is None else unpack_color(packed)
    normal = stacked(columns, NORMAL_NAMES)
    return Cloud(source=path, pos=pos, color=color, normal=None if normal is None else unit_normals(normal))


def stacked(columns: Columns, choices: tuple[tuple[str, str, str], ...]) -> np.ndarray | None:
    """``(N, 3)`` of the first triple of names that is complete."""
    for names in choices:
        if all(name in columns for name in names):
            return np.stack([columns[name] for name in names], axis=1)
    return None


def color_bytes(color: np.ndarray) -> np.ndarray:
    """Colours as uint8, from bytes, 16-bit numbers, or fractions of one.

    *Convention*: numbers up to 1 are fractions unless they are whole bytes; more than 255 means 16 bit.
    """
    if color.dtype == np.uint8:
        return color
    with np.errstate(over="ignore"):
        values = np.nan_to_num(color.astype(np.float32))
    largest = values.max(initial=0)
    scale = 255 if largest <= 1 else 1 if largest <= 255 else 255 / 65535
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)


def unpack_color(packed: np.ndarray) -> np.ndarray:
    """Colours from PCD's 0x00RRGGBB, which is often stored in the bits of a float."""
    bits = packed.astype(np.float32).view(np.uint32) if packed.dtype.kind == "f" else packed.astype(np.uint32)
    return np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1).astype(np.uint8)


def unit_normals(normal: np.ndarray) -> np.ndarray:
    """Normals of length one; where there is none, zero."""
    with np.errstate(over="ignore"):
        normal = np.nan_to_num(normal.astype(np.float32), posinf=0, neginf=0)
    normal = np.clip(normal, -1e6, 1e6)  # damaged ones must not overflow
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
