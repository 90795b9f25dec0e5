"""The frame of a room or building: directions of its walls, and small tilt."""

from dataclasses import dataclass

import numpy as np

from pcseg.data.ground import find_tilt

SAMPLE = 30_000
"""Number of points that a frame is found from."""

DENSE = 60_000
"""Number of points that refine the directions: scanners leave few points on walls that are far away."""

PIECE = 0.1
"""Length of the pieces of a wall that count alike, however many points they have, in meters."""

CELL = (0.05, 0.5)
"""Smallest and largest edge of the columns that are searched for walls, in meters."""

APART = 10
"""Distance between pieces that are compared, in pieces."""

SLAB = 0.25
"""Height of the slabs that a column is divided into, in meters."""

MIN_WALL = 0.75
"""Smallest height of a wall, in meters."""

MIN_CONTRAST = 1.25
"""Smallest ratio between the scores of the best and the median direction; 1 is a cloud without walls."""


@dataclass(frozen=True, kw_only=True)
class GivenAxes:
    """What a user states about the axes of a room.

    Args:
        yaw: Angle from the x axis to a wall in degrees; ``None`` to find it.
        level: Whether a small tilt is found and leveled.
    """

    yaw: float | None = None
    level: bool = True


@dataclass(frozen=True, kw_only=True)
class RoomFrame:
    """The axes of a cloud in meters with z up.

    Args:
        yaw: Angle from the x axis to the nearest direction of walls in degrees, in [-45, 45); ``None`` if there are
            no dominant directions.
        reason: Why ``yaw`` is ``None``; empty otherwise.
        tilt: Angle in degrees by which the floor is leveled.
        rotation: ``(3, 3)``, from the scene to level axes along the walls; without ``yaw`` it levels only.
    """

    yaw: float | None
    reason: str
    tilt: float
    rotation: np.ndarray

    @property
    def remark(self) -> str:
        """Yaw and tilt as a line for the user."""
        yaw = (
            f"not found ({self.reason})"
            if self.yaw is None
            else f"rotated by {0.0 - round(self.yaw, 1):.1f}°"
        )
        return f"room axes: {yaw}, leveled by {self.tilt:.1f}°"


def find_room_frame(pos: np.ndarray, given: GivenAxes = GivenAxes()) -> RoomFrame:
    """Find the frame of a cloud in meters with z up.

    The sum of squared histogram counts of wall columns, projected onto a direction and its perpendicular, is largest
    along the walls. Columns of voxels count as walls if they are occupied over a large part of the height, so low
    furniture and the density of points matter little. The median slope along the strongest walls refines the angle.

    Args:
        pos: ``(N, 3)``; rows that are not finite are ignored.
        given: What is known about the axes.

    Convention:
        Deterministic. ``yaw`` is defined modulo 90 degrees. It is ``None`` for round rooms, open terrain, a single
        wall, and clouds without upright surfaces.
    """
    dense = pos[:: max(1, len(pos) // DENSE)]
    dense = dense[np.isfinite(dense).all(axis=1)].astype(np.float64)
    if len(dense) > 100:
        low, high = np.percentile(dense[:: max(1, len(dense) // 10_000)], (0.5, 99.5), axis=0)
        dense = dense[((dense >= low - 0.5) & (dense <= high + 0.5)).all(axis=1)]
    every = max(1, len(dense) // SAMPLE)
    level, tilt = find_tilt(dense[::every]) if given.level else (np.eye(3), 0.0)
    dense = dense @ level.T
    yaw, reason = find_walls(dense[::every], dense) if given.yaw is None else ((given.yaw + 45) % 90 - 45, "")
    turn = np.radians(-(yaw or 0.0))
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return RoomFrame(yaw=yaw, reason=reason, tilt=tilt, rotation=rotation @ level)


def find_walls(pos: np.ndarray, dense: np.ndarray) -> tuple[float | None, str]:
    """Return the yaw of the walls of a level cloud in degrees, or ``None`` and the reason.

    Args:
        pos: ``(N, 3)``, some points.
        dense: ``(M, 3)``, more points of the same cloud.
    """
    area = float(np.ptp(pos[:, :2], axis=0).prod()) if len(pos) else 0.0
    cell = float(np.clip(1.5 * np.sqrt(area / max(1, len(pos))), *CELL))
    column, slabs = _columns(pos, cell)
    tall = slabs * SLAB >= MIN_WALL
    if tall.sum() < 20:
        return None, f"no upright surfaces of {MIN_WALL} m or more"
    # the tallest columns decide: furniture, which may stand at any angle, is lower
    tall &= slabs >= 0.5 * np.quantile(slabs[tall], 0.95)
    column, weight = column[tall], slabs[tall].astype(np.float64)
    if len(column) > 6000:
        some = np.random.default_rng(0).permutation(len(column))[:6000]
        column, weight = column[some], weight[some]
    center = column.mean(axis=0)
    column -= center
    angles = np.arange(0.0, 90.0)
    scores = _scores(column, weight, angles, 2 * cell)
    if scores.max() < MIN_CONTRAST * np.median(scores):
        return None, "upright surfaces have no dominant directions"
    angle = float(angles[scores.argmax()])
    if _one_sided(column, weight, angle):
        return None, "upright surfaces run in one direction only"
    fine = angle + np.arange(-1.5, 1.51, 0.1)
    angle = float(fine[_scores(column, weight, fine, cell).argmax()])
    low, high = np.quantile(pos[:, 2], (0.02, 0.98))
    inner = np.abs(dense[:, 2] - (low + high) / 2) < 0.35 * (high - low)  # without floor and ceiling
    middle = dense[inner, :2] - center
    for reach in (0.3, 0.2, 0.1):
        angle += _correction(middle, column, weight, angle, reach)
    return (angle + 45) % 90 - 45, ""


def _correction(pos: np.ndarray, column: np.ndarray, weight: np.ndarray, angle: float, reach: float) -> float:
    """Return the angle in degrees between ``angle`` and the direction of the strongest walls.

    It is the median slope between pieces of walls that are one meter apart: only pairs across the end of a recess, a
    door or a cupboard differ from it.
    """
    slopes = []
    one, other = _axes(angle)
    for normal, along in ((one, other), (other, -one)):
        across, offset, position = column @ normal, pos @ normal, pos @ along
        bins = np.floor((across - across.min()) / reach).astype(np.int64)
        mass = np.bincount(bins, weight)
        for wall in np.flatnonzero(mass > 0.4 * mass.max()):
            beside = offset - np.average(across[bins == wall], weights=weight[bins == wall])
            near = np.abs(beside) < reach
            middle = _medians(position[near], beside[near])
            slopes.append((middle[APART:] - middle[:-APART]) / (APART * PIECE))
    slope = np.concatenate(slopes)
    slope = slope[np.isfinite(slope)]
    return -float(np.degrees(np.clip(np.median(slope), -0.03, 0.03))) if len(slope) else 0.0


def _medians(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the median ``y`` of each piece of ``x``, NaN where a piece has few points; ``y`` is at most 0.5."""
    piece = np.floor((x - x.min(initial=0)) / PIECE).astype(np.int64)
    count = np.bincount(piece)
    known = count > 2
    medians = np.full(len(count), np.nan)
    medians[known] = y[np.argsort(piece + y)[(np.cumsum(count) - count + count // 2)[known]]]
    return medians


def _columns(pos: np.ndarray, edge: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean positions ``(M, 2)`` in occupied columns, and how many slabs of each are occupied ``(M,)``."""
    if not len(pos):
        return np.empty((0, 2)), np.empty(0, np.int64)
    cell = np.floor((pos - pos.min(axis=0)) / (edge, edge, SLAB)).astype(np.int64)
    rows, layers = int(cell[:, 1].max()) + 1, int(cell[:, 2].max()) + 1
    key = cell[:, 0] * rows + cell[:, 1]
    column, slabs = np.unique(np.unique(key * layers + cell[:, 2]) // layers, return_counts=True)
    row = np.searchsorted(column, key)
    # centers of columns would favor the axes of the grid
    sums = [np.bincount(row, pos[:, axis], len(column)) for axis in range(2)]
    return np.stack(sums, axis=1) / np.bincount(row, minlength=len(column))[:, None], slabs


def _scores(column: np.ndarray, weight: np.ndarray, degrees: np.ndarray, width: float) -> np.ndarray:
    """Return the sums of squared bins of ``width`` meters along each direction and its perpendicular."""
    both = [_bins(column, weight, degrees + turn, width) for turn in (0, 90)]
    return (both[0] ** 2).sum(axis=1) + (both[1] ** 2).sum(axis=1)


def _bins(column: np.ndarray, weight: np.ndarray, degrees: np.ndarray, width: float) -> np.ndarray:
    """Return histograms of the columns along directions ``(D, bins)``."""
    radians = np.radians(degrees)
    along = (np.stack([np.cos(radians), np.sin(radians)], axis=1) @ column.T) / width
    along -= along.min()
    index = along.astype(np.int64)
    share = along - index
    # each column is shared by its two nearest bins, so that scores change smoothly with the angle
    size = int(index.max()) + 2
    flat = (index + np.arange(len(degrees))[:, None] * size).ravel()
    bins = np.bincount(flat, ((1 - share) * weight).ravel(), len(degrees) * size)
    bins += np.bincount(flat + 1, (share * weight).ravel(), len(degrees) * size)
    return bins.reshape(len(degrees), size)


def _one_sided(column: np.ndarray, weight: np.ndarray, angle: float) -> bool:
    """Return whether all columns lie in one narrow line."""
    spread = [float(np.ptp(np.percentile(column @ d, (5, 95)))) for d in _axes(angle)]
    return min(spread) < 0.5


def _axes(angle: float) -> tuple[np.ndarray, np.ndarray]:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([c, s]), np.array([-s, c])
