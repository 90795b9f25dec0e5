"""Returns become a cloud: thinned or fused to a spacing, smoothed, roughened, with holes and stray points."""

from dataclasses import dataclass, replace

import numpy as np

from data_prep.indoor.returns import Range, Returns, draw

THINNED, FUSED = 0.62, 0.93
"""Median distance to the nearest neighbor on a surface, in edges of the cells that keep one point each."""


@dataclass(frozen=True, kw_only=True)
class Merge:
    """How returns become a cloud.

    Args:
        spacing: Median distance between neighbors in meters.
        noise: Standard deviation in meters of points about a plane of 10 cm, at a distance of 2 m.
        growth: Power with which the noise grows with the distance.
        grain: Size in meters of the bumps of the noise; 0: every point by itself.
        fused: Average the returns of a cell, as depth fusion does, instead of keeping one of them.
        observed: Least number of returns in a cell.
        smooth: Number of passes that average neighbors and so round off edges.
        strays: Share of isolated points in the air.
    """

    spacing: Range
    noise: Range
    growth: float = 0.0
    grain: float = 0.0
    fused: bool = False
    observed: int = 1
    smooth: int = 0
    strays: Range | None = None

    def cloud(
        self, returns: Returns, rng: np.random.Generator, *, points: int, least: float = 0.0
    ) -> Returns:
        """Return at most ``points`` points at a spacing of at least ``least`` meters; of more, those around one."""
        spacing = max(draw(rng, self.spacing), least)
        cell = spacing / (FUSED if self.fused else THINNED)
        merged = _merge(returns, cell, self, rng)
        if len(merged) > points:
            center = merged.pos[rng.integers(len(merged)), :2]
            away = np.abs(merged.pos[:, :2] - center).max(axis=1)
            merged = merged[np.sort(np.argpartition(away, points)[:points])]
        for _ in range(self.smooth):
            merged = replace(merged, pos=_smooth(merged.pos))
        sigma = draw(rng, self.noise) * (merged.distance / 2) ** self.growth
        pos = merged.pos + (_bumps(merged.pos, self.grain, rng) * sigma)[:, None] * merged.normal
        merged = replace(merged, pos=pos)
        return merged if self.strays is None else _with_strays(merged, draw(rng, self.strays), rng)


def _merge(returns: Returns, cell: float, options: Merge, rng: np.random.Generator) -> Returns:
    """Keep one return per cell, or their mean; the kept one gives surface, normal and color."""
    order = rng.permutation(len(returns))
    returns = returns[order]
    # walls along the axes must not lie between two layers of cells
    key = _keys(returns.pos + cell * rng.random(3), cell)
    _, first, inverse, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    merged = returns[first]
    if options.fused:
        total = [np.bincount(inverse, column) / count for column in returns.pos.T]
        merged = replace(merged, pos=np.stack(total, axis=1))
    return merged[np.flatnonzero(count >= options.observed)]


def _keys(pos: np.ndarray, cell: float) -> np.ndarray:
    grid = np.floor(pos / cell).astype(np.int64)
    grid -= grid.min(axis=0, initial=0)
    size = grid.max(axis=0, initial=0) + 1
    return (grid[:, 0] * size[1] + grid[:, 1]) * size[2] + grid[:, 2]


def _smooth(pos: np.ndarray) -> np.ndarray:
    """Move each point halfway to the mean of its six nearest neighbors."""
    from scipy.spatial import cKDTree

    neighbors = cKDTree(pos).query(pos, k=min(7, len(pos)))[1]
    return 0.5 * pos + 0.5 * pos[neighbors].mean(axis=1)


def _bumps(pos: np.ndarray, grain: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise of standard deviation 1: white, or with bumps of size ``grain``."""
    if not grain:
        return rng.normal(size=len(pos))
    noise = np.zeros(len(pos))
    waves = 24
    for _ in range(waves):  # a sum of plane waves of random directions
        direction = rng.normal(size=3)
        direction *= 2 * np.pi / (grain * rng.uniform(1.2, 3) * np.linalg.norm(direction))
        noise += np.sin(pos @ direction + rng.uniform(0, 2 * np.pi))
    return 0.8 * noise / np.sqrt(waves / 2) + 0.6 * rng.normal(size=len(pos))


def _with_strays(cloud: Returns, share: float, rng: np.random.Generator) -> Returns:
    """Move a share of the points into the air between the sensor and what it saw."""
    chosen = rng.random(len(cloud)) < share
    number = int(chosen.sum())
    low, high = cloud.pos.min(axis=0), cloud.pos.max(axis=0)
    pos, surface = cloud.pos.copy(), cloud.surface.copy()
    pos[chosen] = rng.uniform(low, high, (number, 3))
    surface[chosen] = -1
    return replace(cloud, pos=pos, surface=surface)
