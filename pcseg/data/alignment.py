"""Detect the units and the up axis of a cloud, and convert its coordinates to meters with z up."""

import json
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from pcseg.data.normals import estimate_normals
from pcseg.errors import UserError

Units = Literal["m", "cm", "mm", "ft", "in", "ft-us", "auto"]
Up = Literal["x", "y", "z", "-x", "-y", "-z", "auto"]

METERS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048, "in": 0.0254, "ft-us": 1200 / 3937}
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

SAMPLE = 30_000
"""Number of points that units and axes are estimated from."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The transformation from the coordinates of a file to those of a scene.

    Args:
        matrix: ``(4, 4)`` float64, from file coordinates to meters with z up.
        unit: Unit of the file, a key of :data:`METERS`.
        up: The axis of the file that points up.
        one_view: Whether the cloud is a single view of a camera at the origin of the file.
        remarks: What was detected and why.
    """

    matrix: np.ndarray
    unit: str = "m"
    up: str = "z"
    one_view: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def sensor(self) -> np.ndarray | None:
        """Position ``(3,)`` of the camera of a single view in the scene, otherwise ``None``."""
        return self.matrix[:3, 3] if self.one_view else None

    def apply(self, pos: np.ndarray) -> np.ndarray:
        """Convert file coordinates to scene coordinates ``(N, 3)`` float32."""
        if np.array_equal(self.matrix, np.eye(4)):
            return pos.astype(np.float32, copy=False)
        moved = pos.astype(np.float64) @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return moved.astype(np.float32)

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
        return cls(matrix=matrix, remarks=tuple(fields.pop("remarks")), **fields)


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

    The up axis is estimated from surfaces: walls and furniture are vertical, floors, ceilings and table tops
    are horizontal, and rooms are about 2.8 m high. A cloud inside a cone in front of its origin is taken for
    a single camera view (y down, z forward, or y up, z backward) and leveled by its floor. The unit follows
    from the height.

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
    sample = sample_evenly(pos)
    one_view, tilt = False, 0.0
    if up == "auto":
        chosen, one_view, reason = find_up(sample)
        rotation = np.array(ROTATIONS[chosen], dtype=np.float64)
        if one_view:
            rotation, tilt = level(rotation, sample)
    else:
        chosen, reason = up, "as given"
        rotation = np.array(ROTATIONS[chosen], dtype=np.float64)
    height = float(np.ptp(np.percentile(sample @ rotation[2], (1, 99))))
    # a single view may show the floor only, but cameras see a few meters far
    distance = float(np.median(np.linalg.norm(sample, axis=1)))
    unit = units if units != "auto" else file_unit or find_unit(distance if one_view else height)
    measured = f"{distance:.3g} away" if one_view else f"{height:.3g} high"
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * METERS[unit]
    remarks = [
        f"units: {UNIT_NAMES[unit]} ("
        + (
            "as given"
            if units != "auto"
            else "stated in the file"
            if file_unit
            else f"the cloud is {measured}"
        )
        + ")",
        f"up: {chosen} ({reason})" + (f", leveled by {tilt:.0f}°" if tilt else ""),
    ]
    middle = np.round(matrix[:3, :3] @ np.median(sample, axis=0))
    if np.abs(middle).max() > 1000:
        # float32 is too coarse far from the origin
        matrix[:3, 3] = -middle
        remarks.append(
            f"moved by {-middle[0]:.0f}, {-middle[1]:.0f}, {-middle[2]:.0f} m, close to the origin"
        )
    return Frame(matrix=matrix, unit=unit, up=chosen, one_view=one_view, remarks=tuple(remarks))


def sample_evenly(pos: np.ndarray) -> np.ndarray:
    """Return at most :data:`SAMPLE` finite points, one per small cell, so that dense surfaces do not dominate.

    Raises:
        UserError: No row is finite.
    """
    step = max(1, len(pos) // (20 * SAMPLE))
    sample = pos[::step].astype(np.float64)
    sample = sample[np.isfinite(sample).all(axis=1)]
    if not len(sample):
        sample = pos[np.isfinite(pos).all(axis=1)].astype(np.float64)
    if not len(sample):
        raise UserError("the cloud has no finite coordinates. Choose another file.")
    low, high = np.percentile(sample, (1, 99), axis=0)
    cell = max(float(np.linalg.norm(high - low)) / 300, 1e-9)
    keys = np.clip(np.floor((sample - low) / cell), -1e6, 1e6).astype(np.int64) @ (1, 1 << 21, 1 << 42)
    rows = np.unique(keys, return_index=True)[1]
    return sample[np.random.default_rng(0).permutation(rows)[:SAMPLE]]


def find_unit(height: float) -> str:
    """Return the unit in which a room has this height: meters up to 30, centimeters up to 1000."""
    return "m" if height <= 30 else "cm" if height <= 1000 else "mm"


def find_up(sample: np.ndarray) -> tuple[Literal["y", "-y", "z"], bool, str]:
    """Return the up axis, whether the cloud is a single camera view, and the reason."""
    if is_view(sample):
        return "-y", True, "a camera view with y down and z forward"
    if is_view(sample * (1, -1, -1)):
        return "y", True, "a camera view with y up and z backward"
    normal = estimate_normals(sample)
    lead = up_score(sample, normal, 2) - up_score(sample, normal, 1)
    chosen = "z" if lead > -0.15 else upward_y(sample, normal)  # z is the most common
    other = "y" if chosen == "z" else "z"
    doubt = f"; {other} is nearly as likely, pass --up if the result looks wrong" if abs(lead) < 0.3 else ""
    return chosen, False, "from horizontal and vertical surfaces" + doubt


def upward_y(sample: np.ndarray, normal: np.ndarray) -> Literal["y", "-y"]:
    """Return the direction of y that points up: furniture stands on the floor."""
    low, high = np.percentile(sample[:, 1], (1, 99))
    height = (sample[:, 1] - low) / max(high - low, 1e-9)
    # floor, ceiling, beams and walls carry no information
    inside = (height > 0.18) & (height < 0.82) & (np.abs(normal[:, 1]) > 0.2)
    upside_down = inside.any() and height[inside].mean() > 0.55
    return "-y" if upside_down else "y"


def is_view(sample: np.ndarray) -> bool:
    """Return whether the points fill a cone around +z, as seen by a camera at the origin."""
    if np.mean(sample[:, 2] > 0) < 0.999:
        return False
    front = sample[sample[:, 2] > 0]
    low, high = np.percentile(front[:, :2] / front[:, 2:], (1, 99), axis=0)
    return bool(
        (low < -0.1).all() and (high > 0.1).all() and (high - low > 0.4).all() and (high - low < 2.5).all()
    )


def up_score(sample: np.ndarray, normal: np.ndarray, axis: int) -> float:
    """Score how well an axis fits as the vertical.

    The score sums the share of surfaces that are horizontal or vertical (furniture is rotated about the
    vertical only, so other axes have fewer), the share of horizontal surfaces, and how close the extent is to
    the height of a room (2.8 m in some unit).
    """
    along = np.abs(normal[:, axis])
    flat, upright = np.mean(along > 0.97), np.mean(along < 0.2)
    extent = float(np.ptp(np.percentile(sample[:, axis], (1, 99))))
    like_a_room = max(
        np.exp(-0.5 * (np.log(max(extent * m, 1e-9) / 2.8) / 0.25) ** 2) for m in (1.0, 0.01, 0.001)
    )
    return float(3 * (flat + upright) + 2 * flat + 0.6 * like_a_room)


def level(rotation: np.ndarray, sample: np.ndarray) -> tuple[np.ndarray, float]:
    """Tilt ``rotation`` so that the largest nearly horizontal surface becomes horizontal; also return the angle."""
    normal = estimate_normals(sample, towards=np.zeros(3)).astype(np.float64) @ rotation.T
    candidates = normal[normal[:, 2] > np.cos(np.radians(50))]
    if not len(candidates):
        return rotation, 0.0
    some = candidates[:: max(1, len(candidates) // 1000)]
    up = some[((candidates @ some.T) > 0.97).sum(axis=0).argmax()]
    for _ in range(5):
        near = candidates[candidates @ up > 0.97]
        up = near.mean(axis=0) / np.linalg.norm(near.mean(axis=0))
    angle = float(np.degrees(np.arccos(min(up[2], 1.0))))
    if len(near) < 0.05 * len(normal) or angle < 1:
        return rotation, 0.0
    # the smallest rotation from `up` to z
    axis = np.cross(up, (0, 0, 1))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return (np.eye(3) + cross + cross @ cross / (1 + up[2])) @ rotation, angle
