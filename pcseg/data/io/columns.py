"""Columns of a point table: their names, guessed names where a file has none, and conversion to fields."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.errors import UserError

Columns = dict[str, np.ndarray]
"""One 1-D array per column, by lower-case name."""


@dataclass(kw_only=True)
class PointTable:
    """The content of a file as its reader returns it; row i is point i of the file.

    Args:
        columns: Columns by name.
        unit: Unit of the coordinates that the file itself states: ``m``, ``cm``, ``mm``, ``ft``, ``ft-us``, ``in``.
        viewpoint: Position (3,) of the sensor in the coordinates of the file, if the file states one.
        remarks: One sentence per decision of the reader that a user should see.
    """

    columns: Columns
    unit: str | None = None
    viewpoint: np.ndarray | None = None
    remarks: tuple[str, ...] = ()


AXES = {"pos": ("x", "y", "z"), "color": ("red", "green", "blue"), "normal": ("nx", "ny", "nz")}
"""Columns of each field with three components."""

NAMES = {
    "pos": (AXES["pos"],),
    "color": (AXES["color"], ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue")),
    "normal": (AXES["normal"], ("normal_x", "normal_y", "normal_z")),
}
"""Column names that are recognized for each field."""


def stack_field(columns: Columns, field: str) -> np.ndarray | None:
    """Return a field as ``(N, 3)``, or ``None`` if its columns are missing."""
    for names in NAMES[field]:
        if all(name in columns for name in names):
            return np.stack([columns[name] for name in names], axis=1)
    return None


def stack_color(columns: Columns) -> np.ndarray | None:
    """Return colors ``(N, 3)`` uint8 from three columns or one packed column, or ``None``."""
    color = stack_field(columns, "color")
    if color is not None:
        return to_bytes(color)
    packed = next((columns[name] for name in ("rgb", "rgba") if name in columns), None)
    return None if packed is None else unpack_color(packed)


def to_bytes(color: np.ndarray) -> np.ndarray:
    """Convert colors to uint8 from bytes, 16-bit integers, or fractions.

    *Convention*: if no value exceeds 1, the values are fractions; if one exceeds 255, they are 16-bit.
    """
    if color.dtype == np.uint8:
        return color
    with np.errstate(over="ignore"):
        values = np.nan_to_num(color.astype(np.float32))
    largest = values.max(initial=0)
    scale = 255 if largest <= 1 else 1 if largest <= 255 else 255 / 65535
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)


def unpack_color(packed: np.ndarray) -> np.ndarray:
    """Unpack colors 0x00RRGGBB of PCD files, which are often stored in the bits of a float32."""
    bits = packed.astype(np.float32).view(np.uint32) if packed.dtype.kind == "f" else packed.astype(np.uint32)
    return np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1).astype(np.uint8)


def stack_normal(columns: Columns) -> np.ndarray | None:
    """Return unit normals ``(N, 3)`` float32, zero where a file has none, or ``None``."""
    normal = stack_field(columns, "normal")
    if normal is None:
        return None
    with np.errstate(over="ignore"):
        normal = np.nan_to_num(normal.astype(np.float32), posinf=0, neginf=0)
    normal = np.clip(normal, -1e6, 1e6)  # squares of larger values in damaged files overflow
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)


def guess_names(values: np.ndarray, path: Path) -> list[str]:
    """Name the columns of a table without a header: x, y, z, then color and normal recognized by value.

    Raises:
        UserError: There are fewer than three columns.

    Convention:
        In ``.pts`` files with at least seven columns, the fourth is the intensity, which can look like a color.
    """
    width = values.shape[1]
    if width < 3:
        raise UserError(f"{path}: has {width} column(s). Provide at least x, y and z.")
    names = [*AXES["pos"], *(f"column {index + 1}" for index in range(3, width))]
    sample = values[:: max(1, len(values) // 10000)]
    index, found = 3, set()
    if path.suffix.lower() == ".pts" and width >= 7:
        names[3], index = "intensity", 4
    while index + 3 <= width:
        triple = sample[:, index : index + 3]
        field = "normal" if _is_normal(triple) else "color" if _is_color(triple) else None
        if field and field not in found:
            names[index : index + 3] = AXES[field]
            found.add(field)
            index += 3
        else:
            index += 1
    return names


def _is_normal(triple: np.ndarray) -> bool:
    """Return whether nearly all rows are unit vectors."""
    length = np.linalg.norm(triple, axis=1)
    return bool(np.mean(np.abs(length - 1) < 0.02) > 0.9) and bool((triple < 0).any())


def _is_color(triple: np.ndarray) -> bool:
    """Return whether all values are integers in 0..255, or all lie in 0..1."""
    finite = triple[np.isfinite(triple).all(axis=1)]
    if not len(finite) or finite.min() < 0:
        return False
    return bool(finite.max() <= 1) or bool(finite.max() <= 255 and (finite == np.round(finite)).all())
