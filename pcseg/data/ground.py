"""Floors of a cloud with z up: small tilt, storeys, and the ground below and the ceiling above every point."""

from dataclasses import dataclass

import numpy as np

from pcseg.data.camera_view import rotation_between
from pcseg.data.surfaces import excess_cover

CELL = 0.25
"""Edge of the columns in which level surfaces are counted, in meters."""

LAYER = 0.05
"""Thickness of the layers in which level surfaces are counted, in meters."""

TILT = (0.15, 12.0)
"""Smallest and largest tilt that is leveled, in degrees."""

MIN_STOREY, MAX_SLAB = 2.0, 1.0
"""Smallest height of a storey, and largest thickness between a ceiling and the floor above it, in meters."""

MIN_SHARE = 0.15
"""Smallest share of the footprint that a floor or ceiling covers."""

TILE = 0.5
"""Edge of the tiles of local ground, in meters."""

STEP = 0.4
"""Largest height of the local ground above or below the floor of its storey, and of a ceiling likewise, in meters."""

CHUNK = 1_000_000
"""Number of points that are measured at a time."""

SAMPLE = 60_000
"""Number of points that the ground is found from."""


@dataclass(frozen=True, kw_only=True)
class Storey:
    """Heights of a floor and of the ceiling above it in meters; ``ceiling`` is ``None`` if none was scanned."""

    floor: float
    ceiling: float | None


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Local floors and ceilings of a cloud.

    Args:
        corner: Lower corner ``(2,)`` of the first tile.
        floor: ``(S, X, Y)`` height of the floor of each storey per tile of :data:`TILE` meters.
        ceiling: The same of ceilings; NaN for storeys without one.
    """

    corner: np.ndarray
    floor: np.ndarray
    ceiling: np.ndarray

    def measure(self, pos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return heights above the ground and depths below the ceiling of points ``(N, 3)``, both ``(N,)``.

        The storey of a point is the highest whose local floor is not above it. Depths are NaN without a ceiling.
        """
        height, depth = np.empty((2, len(pos)), pos.dtype)
        for start in range(0, len(pos), CHUNK):
            rows = slice(start, start + CHUNK)
            tile = np.floor((pos[rows, :2] - self.corner) / TILE).astype(np.int64)
            x, y = np.clip(tile, 0, np.array(self.floor.shape[1:]) - 1).T
            z, storey = pos[rows, 2], np.zeros(len(x), np.int64)
            for k in range(1, len(self.floor)):
                storey[z - self.floor[k, x, y] > -0.15] = k  # points below the floor by noise belong to it
            height[rows], depth[rows] = z - self.floor[storey, x, y], self.ceiling[storey, x, y] - z
        return height, depth


def find_tilt(pos: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the rotation ``(3, 3)`` that levels the floor, and its angle in degrees.

    A plane is fitted to the lowest points of columns; furniture, strays and missing floor are outliers.

    Convention:
        The identity and 0 if less than a third of the columns agree on a plane, or its tilt is outside
        :data:`TILT`.
    """
    lowest = _lowest(pos, CELL)[0] if len(pos) > 100 else pos[:0]
    if len(lowest) < 12:
        return np.eye(3), 0.0
    plane, share = _fit_plane(lowest)
    angle = float(np.degrees(np.arctan(np.hypot(*plane[:2]))))
    if share < 1 / 3 or not TILT[0] <= angle <= TILT[1]:
        return np.eye(3), 0.0
    normal = np.array([-plane[0], -plane[1], 1.0])
    return rotation_between(normal / np.linalg.norm(normal), np.array([0.0, 0.0, 1.0])), angle


def find_storeys(pos: np.ndarray) -> tuple[Storey, ...]:
    """Return the storeys of a level cloud, lowest first; empty if no floor is found.

    Floors and ceilings are layers that cover :data:`MIN_SHARE` of the footprint more than the layers around them.

    Convention:
        A single surface between two storeys is the ceiling of the lower and the floor of the upper one.
    """
    levels = _levels(pos) if len(pos) > 100 else []
    if levels and np.mean(pos[:, 2] < levels[0] - 0.3) > 0.25:  # a ceiling above stepped or missing floor
        levels = []
    storeys: list[Storey] = []
    floor = levels[0] if levels else None
    while floor is not None:
        ceiling = next((level for level in levels if level >= floor + MIN_STOREY), None)
        storeys.append(Storey(floor=floor, ceiling=ceiling))
        if ceiling is None:
            break
        slab = [level for level in levels if ceiling < level <= ceiling + MAX_SLAB]
        floor = slab[-1] if slab else ceiling
        if np.mean(pos[:, 2] > floor + 0.5) < 0.1:  # nothing above: a roof
            break
    return tuple(storeys)


def local_ground(pos: np.ndarray) -> Ground:
    """Return the local floors and ceilings of a level cloud ``(N, 3)``, from a sample of it without strays.

    They are the lowest points near the floor of each storey, continued below furniture; of ceilings, the highest.

    Convention:
        Without storeys, as on terrain, the ground is the lowest point within 1 m.
    """
    if not len(pos):
        return Ground(corner=np.zeros(2), floor=np.zeros((1, 1, 1)), ceiling=np.full((1, 1, 1), np.nan))
    pos = pos[:: max(1, len(pos) // SAMPLE)].astype(np.float64)
    low, high = np.percentile(pos[:: max(1, len(pos) // 10_000)], (0.5, 99.5), axis=0)
    pos = pos[((pos >= low - 0.5) & (pos <= high + 0.5)).all(axis=1)]
    storeys = find_storeys(pos)
    corner = pos[:, :2].min(axis=0)
    shape = tuple(np.floor((pos[:, :2].max(axis=0) - corner) / TILE).astype(int) + 1)
    floors = [_tiles(pos, storey.floor, corner, shape) for storey in storeys] or [
        _tiles(pos, None, corner, shape)
    ]
    nothing, upside_down = np.full(shape, np.nan), pos * np.array([1, 1, -1], pos.dtype)
    ceilings = [
        nothing if storey.ceiling is None else -_tiles(upside_down, -storey.ceiling, corner, shape)
        for storey in storeys
    ] or [nothing]
    return Ground(corner=corner, floor=np.stack(floors), ceiling=np.stack(ceilings))


def _tiles(pos: np.ndarray, floor: float | None, corner: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the lowest points near a floor per tile, or of each tile; tiles without points get that of the nearest."""
    from scipy import ndimage

    near = pos if floor is None else pos[np.abs(pos[:, 2] - floor) < STEP]
    lowest, tile = _lowest(near, TILE, corner)
    grid = np.full(shape, np.nan)
    grid[tuple(tile.T)] = lowest[:, 2]
    missing = np.isnan(grid)
    if missing.all():
        grid[:] = floor or 0.0
    elif missing.any():
        nearest = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
        grid = grid[tuple(np.asarray(nearest))]
    if floor is None:
        return ndimage.grey_opening(grid, (5, 5))  # codespell:ignore grey
    return ndimage.median_filter(grid, 3)


def _lowest(pos: np.ndarray, cell: float, corner: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest point of each occupied column, without the lowest strays, and the column ``(M, 2)``."""
    if not len(pos):
        return pos, np.empty((0, 2), np.int64)
    pos = pos[pos[:, 2] >= np.quantile(pos[:, 2], 0.002) - 0.1]
    start = pos[:, :2].min(axis=0) if corner is None else corner
    column = np.floor((pos[:, :2] - start) / cell).astype(np.int64)
    rows = int(column[:, 1].max()) + 1
    key = column[:, 0] * rows + column[:, 1]
    row = np.full(int(key.max()) + 1, -1)
    order = np.argsort(-pos[:, 2], kind="stable")
    row[key[order]] = order  # the last one written is the lowest
    found = np.flatnonzero(row >= 0)
    return pos[row[found]], np.stack([found // rows, found % rows], axis=1)


def _fit_plane(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit ``z = a x + b y + c`` to most of the points; also return the share of points within 3 cm of it."""
    points = points - points.mean(axis=0)
    corners = points[np.random.default_rng(0).integers(0, len(points), (200, 3))]
    matrix = np.concatenate([corners[:, :, :2], np.ones((200, 3, 1))], axis=2)
    usable = np.abs(np.linalg.det(matrix)) > 0.05
    if not usable.any():
        return np.zeros(3), 0.0
    planes = np.linalg.solve(matrix[usable], corners[usable, :, 2:])[..., 0]
    some = points[:: max(1, len(points) // 1000)]
    distance = np.abs(some[:, :2] @ planes[:, :2].T + planes[:, 2] - some[:, 2:])
    plane = planes[(distance < 0.03).sum(axis=0).argmax()]
    design = np.column_stack([points[:, :2], np.ones(len(points))])
    for _ in range(3):
        inside = np.abs(design @ plane - points[:, 2]) < 0.03
        plane = np.linalg.lstsq(design[inside], points[inside, 2], rcond=None)[0]
    return plane, float(np.mean(np.abs(design @ plane - points[:, 2]) < 0.03))


def _levels(pos: np.ndarray) -> list[float]:
    """Return the heights of the layers that cover much of the footprint, ascending."""
    low = pos.min(axis=0)
    size = np.ptp(pos[:, :2], axis=0)
    cell = float(np.clip(np.sqrt(size.prod() * 20 / len(pos)), CELL, 8 * CELL))
    column = np.floor((pos[:, :2] - low[:2]) / cell).astype(np.int64)
    column = column[:, 0] * (int(column[:, 1].max()) + 1) + column[:, 1]
    layer = np.floor((pos[:, 2] - low[2]) / LAYER).astype(np.int64)
    count = int(layer.max()) + 2
    excess = excess_cover(column, layer, count, half=20)
    enough = MIN_SHARE * len(np.unique(column))
    levels: list[float] = []
    for i in np.flatnonzero(excess >= enough):
        if excess[i] >= excess[max(0, i - 4) : i + 5].max():
            near = pos[np.abs(pos[:, 2] - (low[2] + i * LAYER)) < LAYER, 2]
            level = float(np.median(near))
            if not levels or level - levels[-1] >= 4 * LAYER:
                levels.append(level)
    return levels
