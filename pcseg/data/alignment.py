"""Detect the units and the up axis of a cloud, and convert its coordinates to meters with z up."""

import json
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from pcseg.data.camera_view import level
from pcseg.data.surfaces import measure_surfaces
from pcseg.data.unit import METERS, UnitGuess, find_unit, find_unit_of_any_axis, find_unit_of_view
from pcseg.data.up_axis import UpGuess, find_up
from pcseg.errors import UserError

Units = Literal["m", "cm", "mm", "ft", "in", "ft-us", "auto"]
Up = Literal["x", "y", "z", "-x", "-y", "-z", "auto"]

UNIT_NAMES = {
    "m": "meters",
    "cm": "centimeters",
    "mm": "millimeters",
    "ft": "feet",
    "in": "inches",
    "ft-us": "US survey feet",
}
ROTATIONS = {
    "x": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
    "-x": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
    "y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "-y": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-z": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
}
"""Rotation that maps each direction to z (rows: new x, y, z), without reflection."""


CHUNK = 1_000_000
"""Number of points that are computed in float64 at a time."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The transformation from the coordinates of a file to those of a scene.

    Args:
        matrix: ``(4, 4)`` float64, from file coordinates to meters with z up.
        unit: Unit of the file, a key of :data:`METERS`.
        up: The axis of the file that points up.
        one_view: Whether the cloud is a single view of a camera at the origin of the file.
        remarks: What was detected and why.
        unsure: The options, ``units`` or ``up``, whose value was assumed against or without evidence.
    """

    matrix: np.ndarray
    unit: str = "m"
    up: str = "z"
    one_view: bool = False
    remarks: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()

    @property
    def sensor(self) -> np.ndarray | None:
        """Position ``(3,)`` of the camera of a single view in the scene, otherwise ``None``."""
        return self.matrix[:3, 3] if self.one_view else None

    def apply(self, pos: np.ndarray) -> np.ndarray:
        """Convert file coordinates to scene coordinates ``(N, 3)`` float32."""
        if np.array_equal(self.matrix, np.eye(4)):
            return pos.astype(np.float32, copy=False)
        moved = np.empty((len(pos), 3), np.float32)
        for start in range(0, len(pos), CHUNK):
            part = pos[start : start + CHUNK].astype(np.float64)
            moved[start : start + CHUNK] = part @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return moved

    def rotate(self, normal: np.ndarray) -> np.ndarray:
        """Rotate directions ``(N, 3)`` of the file into the scene."""
        rotation = self.matrix[:3, :3] / METERS[self.unit]
        return (normal @ rotation.T).astype(np.float32)

    def to_json(self) -> str:
        """Serialize the frame; predictions store this text."""
        return json.dumps(vars(self) | {"matrix": self.matrix.tolist()})

    @classmethod
    def from_json(cls, text: str) -> "Frame":
        """Parse the text of :meth:`to_json`."""
        fields = json.loads(text)
        matrix = np.array(fields.pop("matrix"), dtype=np.float64)
        lists = {name: tuple(fields.pop(name, ())) for name in ("remarks", "unsure")}
        return cls(matrix=matrix, **lists, **fields)


IDENTITY = Frame(matrix=np.eye(4), remarks=("meters, z up, as in every prepared scene",))


def find_frame(
    pos: np.ndarray,
    *,
    units: Units = "auto",
    up: Up = "auto",
    prepared: bool = False,
    file_unit: str | None = None,
    viewpoint: np.ndarray | None = None,
) -> Frame:
    """Detect the units and axes of a cloud, unless they are given.

    The default is meters with z up. It changes only if at least two independent signs agree on another unit or axis
    and none contradicts (:mod:`~pcseg.data.unit`, :mod:`~pcseg.data.up_axis`). A view of a camera at the origin
    (y down, z forward, or y up, z backward) is recognized and leveled by its floor. Otherwise the default stays, and
    a remark states the doubt and names the option.

    Args:
        pos: ``(N, 3)`` coordinates in the file; rows that are not finite are ignored.
        units: Unit of the file, or ``auto``.
        up: Axis that points up in the file, or ``auto``.
        prepared: Whether the points are those of a prepared scene, which stay unchanged.
        file_unit: Unit that the file states, a key of :data:`METERS`.
        viewpoint: Position ``(3,)`` of the sensor in the file, if the file states one.

    Raises:
        UserError: ``units`` or ``up`` is unknown, or no row is finite.
    """
    for name, value, kind in (("units", units, Units), ("up", up, Up)):
        if value not in get_args(kind):
            raise UserError(f"{name} {value}: unknown value. Choose from {', '.join(get_args(kind))}.")
    if prepared:
        return IDENTITY
    surfaces = measure_surfaces(pos)
    # in camera axes the sensor is the origin
    in_camera_axes = file_unit is None and (viewpoint is None or not np.any(viewpoint))
    guess = find_up(surfaces, camera=in_camera_axes) if up == "auto" else UpGuess(up=up, reason="as given")
    rotation, tilt = np.array(ROTATIONS[guess.up], dtype=np.float64), 0.0
    if guess.one_view:
        rotation, tilt = level(rotation, surfaces)
    if units != "auto":
        unit = UnitGuess(unit=units, reason="as given")
    elif file_unit is not None:
        unit = UnitGuess(unit=file_unit, reason="stated in the file")
    elif guess.one_view:
        unit = find_unit_of_view(surfaces)
    else:
        unit = find_unit_of_any_axis(surfaces) if guess.doubt else find_unit(surfaces, rotation[2])
    if unit.doubt and guess.up == "z" and up == "auto":
        # a vertical along which nothing has the height of a room is not certain either
        guess = replace(guess, doubt=True)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * METERS[unit.unit]
    remarks = [
        f"units: {UNIT_NAMES[unit.unit]} ({unit.reason}{_doubt(unit.doubt, '--units')})",
        f"up: {guess.up} ({guess.reason}{_doubt(guess.doubt, '--up')})"
        + (f", leveled by {tilt:.0f}°" if tilt else ""),
    ]
    middle = np.round(matrix[:3, :3] @ np.median(surfaces.pos, axis=0))
    if np.abs(middle).max() > 1000:
        # float32 is too coarse far from the origin
        matrix[:3, 3] = -middle
        remarks.append(
            f"moved by {-middle[0]:.0f}, {-middle[1]:.0f}, {-middle[2]:.0f} m, close to the origin"
        )
    return Frame(
        matrix=matrix,
        unit=unit.unit,
        up=guess.up,
        one_view=guess.one_view,
        remarks=tuple(remarks),
        unsure=("units",) * unit.doubt + ("up",) * guess.doubt,
    )


def _doubt(doubt: bool, option: str) -> str:
    return f"; not certain, pass {option} if it is wrong" if doubt else ""
