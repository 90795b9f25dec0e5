"""Thinning: number of points and even spacing."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from pcseg.views.interactive.browser import thin


@pytest.mark.parametrize("max_points", [1, 2, 300, 5000])
def test_points_are_evenly_spaced_and_almost_as_many_as_allowed(max_points: int) -> None:
    rng = np.random.default_rng(0)
    # a floor and a wall, scanned from a corner where points are a hundred times denser
    pos = rng.uniform(0, 1, (40_000, 3)) ** 3 * 5
    pos[:20_000, 2] = 0
    pos[20_000:, 0] = 0
    pos = (pos - 20).astype(np.float32)
    rows = thin(pos, max_points)
    assert len(np.unique(rows)) == len(rows) <= max_points
    assert (np.diff(rows) > 0).all()
    if max_points < 300:
        return
    assert len(rows) > 0.75 * max_points
    # distances to the nearest kept point are similar to those between kept points
    apart, _ = cKDTree(pos[rows]).query(pos[rows], k=2)
    gap, _ = cKDTree(pos[rows]).query(pos)
    assert gap.max() < 4 * np.median(apart[:, 1])


def test_small_clouds_and_repeated_points() -> None:
    pos = np.zeros((50, 3), np.float32)
    np.testing.assert_array_equal(thin(pos, 50), np.arange(50))
    np.testing.assert_array_equal(thin(pos, 10), [0])
    pos[20:] = 5
    np.testing.assert_array_equal(thin(np.repeat(pos, 4000, axis=0), 100_000), [0, 80_000])
