"""Measure the surfaces of a cloud without knowing its unit or its up axis."""

from dataclasses import dataclass

import numpy as np

from pcseg.data.normals import fit_planes, make_tree
from pcseg.errors import UserError

READ = 400_000
"""Number of points that are looked at."""

FITTED = 8_000
"""Number of points whose normals are estimated."""

LAYERS = 20
"""Number of layers that the extent along an axis is divided into."""

OFFSET = 300
"""Map coordinates are at least this many times farther from 0 than the cloud is wide."""


@dataclass(frozen=True, kw_only=True)
class AxisSigns:
    """Signs of one axis of a cloud as the vertical; a bottom is the lower end in file coordinates.

    Args:
        misfit: Share of the surfaces that are neither perpendicular nor parallel to the axis.
        extent: Size along the axis.
        objects: Mean position of what stands free between the ends, -0.5 at the bottom, 0.5 at the top.
        tables: The same of inner surfaces perpendicular to the axis.
        bottom, top: Share of the cross-section that a surface covers at each end.
        is_map: Whether only the other two coordinates are far from 0, as in map projections.
    """

    misfit: float
    extent: float
    objects: float
    tables: float
    bottom: float
    top: float
    is_map: bool

    @property
    def cover(self) -> float:
        """Coverage of the more complete end."""
        return max(self.bottom, self.top)

    @property
    def one_end(self) -> bool:
        """Whether one end is a surface and the other is open, as in a scan without its ceiling."""
        return self.cover > 0.6 and min(self.bottom, self.top) < 0.3


@dataclass(frozen=True, kw_only=True)
class Surfaces:
    """A sample of a cloud without strays.

    Args:
        dense: ``(D, 3)`` float64, every k-th point.
        pos: ``(M, 3)``, at most one of them per small cell.
        low, high: Limits ``(3,)`` of 98 % of the points.
        fitted: Rows ``(Q,)`` of ``pos`` with a normal.
        normal: ``(Q, 3)``.
        planar: Whether the neighborhood of a fitted point is flat, ``(Q,)``.
        gap: Distance between neighbors in ``pos``.
        spacing: Distance between neighboring points of the whole cloud.
        step: Step of the stored coordinates, where it is larger than the spacing; otherwise 0.
    """

    dense: np.ndarray
    pos: np.ndarray
    low: np.ndarray
    high: np.ndarray
    fitted: np.ndarray
    normal: np.ndarray
    planar: np.ndarray
    gap: float
    spacing: float
    step: float

    def signs(self, axis: int) -> AxisSigns:
        """Measure the signs of an axis as the vertical."""
        others = [k for k in range(3) if k != axis]
        extent = self.high - self.low
        height = (self.pos - self.low) / np.maximum(extent, 1e-9)
        steep = np.abs(self.normal[self.planar])
        along = steep[:, axis]
        straight = np.mean((along > 0.97) | (along < 0.2)) if len(along) > 50 else 0.0
        at = height[self.fitted]
        level = self.planar & (np.abs(self.normal[:, axis]) > 0.93)
        inner = at[level & (at[:, axis] > 0.1) & (at[:, axis] < 0.9), axis]
        tile = np.clip((at[:, others] * 15).astype(np.int64), 0, 14) @ (1, 15)
        covered = [
            len(np.unique(tile[end & level])) / len(np.unique(tile))
            for end in (at[:, axis] < 0.06, at[:, axis] > 0.94)
        ]
        offset = np.abs((self.low + self.high) / 2) > OFFSET * extent.max()
        return AxisSigns(
            # a few points more or less are chance
            misfit=1 - float(straight) + 10 / max(1, len(along)),
            extent=float(extent[axis]),
            objects=self._objects(axis, height),
            tables=float(inner.mean()) - 0.5 if len(inner) >= max(15, 0.01 * len(at)) else 0.0,
            bottom=covered[0],
            top=covered[1],
            is_map=bool(offset[others].all() and not offset[axis]),
        )

    def _objects(self, axis: int, height: np.ndarray) -> float:
        """Return the mean height of occupied cells outside columns that are full, which are walls."""
        others = [k for k in range(3) if k != axis]
        extent = self.high - self.low
        cell = max(float(extent[others].max()) / 60, 3 * self.gap, float(extent[axis]) / LAYERS, 1e-12)
        column = np.floor((self.pos[:, others] - self.low[others]) / cell).astype(np.int64) @ (1, 1 << 20)
        layer = np.clip(np.floor(height[:, axis] * LAYERS), 0, LAYERS - 1).astype(np.int64)
        occupied = np.unique(column * 32 + layer)
        layer = occupied & 31
        inner = (layer >= 2) & (layer < LAYERS - 2)
        _, column = np.unique(occupied >> 5, return_inverse=True)
        free = inner & (np.bincount(column, inner) < 0.5 * (LAYERS - 4))[column]
        enough = free.sum() >= max(20, 0.06 * len(free))
        return float((layer[free].mean() + 0.5) / LAYERS - 0.5) if enough else 0.0


def measure_surfaces(pos: np.ndarray) -> Surfaces:
    """Sample a cloud ``(N, 3)`` evenly and estimate normals.

    Raises:
        UserError: No row is finite.
    """
    sample = pos[:: max(1, len(pos) // READ)]
    sample = sample[np.isfinite(sample).all(axis=1)].astype(np.float64)
    if not len(sample):
        sample = pos[np.isfinite(pos).all(axis=1)].astype(np.float64)
    if not len(sample):
        raise UserError("the cloud has no finite coordinates. Choose another file.")
    low, high = np.percentile(sample[:: max(1, len(sample) // 50_000)], (1, 99), axis=0)
    margin = 0.15 * (high - low)
    near = ((sample >= low - margin) & (sample <= high + margin)).all(axis=1)
    sample = sample[near] if near.any() else sample
    spacing = measure_spacing(pos)
    step = _step(sample)
    extent = high - low
    cell = max(extent.min() / 60, extent.max() / 2000, 1e-12)
    keys = np.floor((sample - sample.min(axis=0)) / cell).astype(np.int64) @ (1, 1 << 20, 1 << 40)
    rows = np.unique(keys, return_index=True)[1]
    some = sample[np.random.default_rng(0).permutation(rows)[:150_000]]
    fitted = np.arange(min(FITTED, len(some)))
    normal, scatter = fit_planes(make_tree(some), some[fitted])
    return Surfaces(
        dense=sample,
        pos=some,
        low=low,
        high=high,
        fitted=fitted,
        normal=normal,
        planar=scatter[:, 0] < 0.05 * scatter[:, 1],
        gap=0.22 * float(np.sqrt(np.median(scatter[:, 2]))),  # of 16 neighbors in a disk
        spacing=spacing,
        step=step if step > max(2 * spacing, extent.max() / 1000) else 0.0,
    )


def excess_cover(tile: np.ndarray, layer: np.ndarray, count: int, *, half: int) -> np.ndarray:
    """Return how many tiles each of ``count`` layers covers beyond the median of ``half`` layers on either side.

    Floors and ceilings stand out; walls add the same small area to all layers. ``tile`` and ``layer`` ``(N,)`` int64
    are those of every point; layers are numbered from 0 to ``count - 2``.
    """
    # pairs of layers, so that a surface on the border of two counts once
    pairs = np.unique(np.concatenate([tile * count + layer, tile * count + layer + 1]))
    area = np.bincount(pairs % count, minlength=count).astype(np.float64)
    padded = np.pad(area, half, mode="reflect" if count > half else "edge")
    return area - np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)


def measure_spacing(pos: np.ndarray) -> float:
    """Return the median distance between neighbors, in a slice through the middle of the longest extent."""
    some = pos[:: max(1, len(pos) // 50_000)]
    some = some[np.isfinite(some).all(axis=1)]
    if not len(some):
        return 0.0
    longest = int(np.ptp(np.percentile(some, (1, 99), axis=0), axis=0).argmax())
    count = min(len(pos), 20_000)
    away = np.abs(pos[:, longest] - np.median(some[:, longest]))
    some = pos[np.argpartition(away, count - 1)[:count]].astype(np.float64)
    some = np.unique(some[np.isfinite(some).all(axis=1)], axis=0)  # files can hold every point twice
    if len(some) < 2:
        return 0.0
    return float(np.median(make_tree(some).query(some[:: max(1, len(some) // 2000)], k=2)[0][:, 1]))


def find_strays(pos: np.ndarray) -> np.ndarray:
    """Return the mask ``(N,)`` of finite points farther from the box of 98 % of all than three times its diagonal."""
    low, high = stray_limits(pos)
    return np.asarray(((pos < low) | (pos > high)).any(axis=1))


def stray_limits(pos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest coordinates ``(3,)`` of points that are not strays."""
    low, high = np.percentile(pos[:: max(1, len(pos) // 200_000)], (1, 99), axis=0)
    reach = 3 * np.linalg.norm(high - low) + 1e-6
    return low - reach, high + reach


def _step(sample: np.ndarray) -> float:
    """Return the largest step along an axis, if the coordinates are rounded to float32 far from the origin."""
    if not np.array_equal(sample, sample.astype(np.float32)):
        return 0.0
    return float(np.spacing(np.abs(np.median(sample, axis=0)).astype(np.float32)).max())
