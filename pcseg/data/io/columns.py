"""Columns of a point table: their names, and conversion to positions and normals."""

import re
from collections.abc import Sequence
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
    "pos": (
        AXES["pos"],
        *((east, north, up) for east, north in (("easting", "northing"), ("east", "north"), ("x", "y"))
          for up in ("elevation", "height", "altitude", "z", "up")),
        ("e", "n", "h"),
        *(tuple(form.format(axis) for axis in "xyz")
          for form in ("{}coord", "{}_coord", "{} coord", "{}_coordinate", "{} coordinate", "{}-coordinate",
                       "coord_{}", "coord{}", "pos_{}", "position_{}", "pos.{}", "position.{}", "point_{}")),
        ("points:0", "points:1", "points:2"),
        ("points_0", "points_1", "points_2"),
    ),
    "color": (
        AXES["color"], ("r", "g", "b"), ("rf", "gf", "bf"), ("diffuse_red", "diffuse_green", "diffuse_blue"),
        ("color_r", "color_g", "color_b"), ("rgb:0", "rgb:1", "rgb:2"), ("rgb_0", "rgb_1", "rgb_2"),
        ("colorred", "colorgreen", "colorblue"),
    ),
    "normal": (
        AXES["normal"], ("normal_x", "normal_y", "normal_z"), ("normalx", "normaly", "normalz"),
        ("n_x", "n_y", "n_z"), ("normals:0", "normals:1", "normals:2"), ("normals_0", "normals_1", "normals_2"),
    ),
}  # fmt: skip
"""Column names that are recognized for each field; names of other programs are listed in docs/formats.md."""

LABEL_NAMES = ("label", "labels", "class", "classification", "semantic", "sem_label", "segment", "class_id", "label_id",
               "semantic_label", "category")  # fmt: skip
"""Names of the column with the class."""

INSTANCE_NAMES = ("instance", "instances", "instance_id", "object_id")
"""Names of the column with the object."""

UNITS = {"m": "m", "meter": "m", "meters": "m", "metre": "m", "metres": "m", "cm": "cm", "mm": "mm", "ft": "ft",
         "feet": "ft", "foot": "ft", "us-ft": "ft-us", "ft-us": "ft-us", "in": "in", "inch": "in"}  # fmt: skip
"""Unit of every spelling in the header of a table."""

_KNOWN = {name for triples in NAMES.values() for triple in triples for name in triple}
_BRACKETS = re.compile(r"(.+?)\s*[\[(](.*)[\])]")


def normalize_name(name: str) -> str:
    """Return a column name in lower case without blanks, quotes, and what programs add to names.

    CloudCompare writes ``scalar_label``, others units behind coordinates: ``X [m]``.
    """
    name = name.strip().strip("\"'").strip().lower().removeprefix("scalar_")
    bracket = _BRACKETS.fullmatch(name)
    return bracket[1] if bracket and bracket[1] in _KNOWN else name


def unit_of(name: str) -> str | None:
    """Return the unit in the brackets behind the name of a coordinate."""
    bracket = _BRACKETS.fullmatch(name.strip().strip("\"'").strip().lower())
    return UNITS.get(bracket[2].strip()) if bracket and bracket[1] in _KNOWN else None


def parse_names(text: str, *, where: str = "--columns") -> tuple[str, ...]:
    """Return the names in the option ``--columns``, which messages call ``where``; an empty one ignores a column.

    Raises:
        UserError: A coordinate is missing, or a name occurs twice.
    """
    names = tuple("" if name.strip() in ("-", "skip") else normalize_name(name) for name in text.split(","))
    used = [name for name in names if name]
    missing = [axis for axis in "xyz" if axis not in used]
    if missing:
        raise UserError(
            f"{where} {text}: {missing[0]} is missing. Name every column of the file in order, such as "
            "x,y,z,red,green,blue,label; - ignores a column."
        )
    require_distinct(used, f"{where} {text}")
    return names


def require_distinct(names: Sequence[str], where: str) -> None:
    """Raise :class:`UserError` if a name occurs twice."""
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{where}: two columns are named {twice!r}. Rename one, or pass --columns.")


def apply_names(columns: Sequence[np.ndarray], names: Sequence[str], path: Path) -> Columns:
    """Return columns under the names of the option ``--columns``; raise :class:`UserError` if their numbers differ."""
    if len(columns) != len(names):
        raise UserError(
            f"{path}: has {len(columns)} columns, but --columns names {len(names)}. Name all; - ignores a column."
        )
    return {name: column for name, column in zip(names, columns) if name}


def has_positions(names: Sequence[str]) -> bool:
    """Return whether columns of these names hold positions."""
    return any(set(triple) <= set(names) for triple in NAMES["pos"])


def label_columns(columns: Columns) -> list[str]:
    """Return the names of possible label columns, best first: those with several values come first."""
    found = [name for name in LABEL_NAMES if name in columns]
    return sorted(found, key=lambda name: not (columns[name] != columns[name][:1]).any())


def stack_field(columns: Columns, field: str) -> np.ndarray | None:
    """Return a field as ``(N, 3)``, or ``None`` if its columns are missing or hold words."""
    for names in NAMES[field]:
        if all(name in columns and columns[name].dtype.kind in "fiub" for name in names):
            return _stack([columns[name] for name in names])
    return None


def _stack(parts: list[np.ndarray]) -> np.ndarray:
    """Return columns as one array, without a copy if they are the columns of one: positions of large files."""
    base = parts[0].base
    if isinstance(base, np.ndarray) and base.shape == (len(parts[0]), len(parts)) and base.flags.carray:
        starts = [part.__array_interface__["data"][0] - base.__array_interface__["data"][0] for part in parts]
        if starts == [i * base.itemsize for i in range(len(parts))] and all(
            p.dtype == base.dtype for p in parts
        ):
            return base
    return np.stack(parts, axis=1)


def stack_normal(columns: Columns) -> np.ndarray | None:
    """Return unit normals ``(N, 3)`` float32, zero where a file has none, or ``None``."""
    normal = stack_field(columns, "normal")
    if normal is None:
        return None
    with np.errstate(over="ignore"):
        normal = np.nan_to_num(normal.astype(np.float32), posinf=0, neginf=0)
    normal = np.clip(normal, -1e6, 1e6)  # squares of larger values in damaged files overflow
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
