"""Augmentations that imitate other scans change what they state, within their range, and follow the generator."""

import numpy as np
import pytest

from pcseg.data.sample import Sample
from pcseg.data.transforms import (
    CeilingCut,
    MissingColor,
    RandomExposure,
    RandomNoise,
    RandomSpacing,
    Transform,
)


def sample(num_points: int = 4000) -> Sample:
    rng = np.random.default_rng(0)
    arrays = {
        "pos": rng.uniform([2, -5, 1], [4, -3, 3.5], (num_points, 3)).astype(np.float32),
        "color": rng.integers(20, 200, (num_points, 3), dtype=np.uint8),
        "label": rng.integers(-1, 13, num_points),
        "instance": rng.integers(-1, 5, num_points),
    }
    for array in arrays.values():
        array.setflags(write=False)  # so that a transform that writes fails
    return Sample(name="room", **arrays)


ALL = [CeilingCut(p=1), MissingColor(p=1), RandomExposure(p=1), RandomNoise(p=1), RandomSpacing(p=1, low=0.1)]


@pytest.mark.parametrize("transform", ALL, ids=lambda transform: type(transform).__name__)
def test_the_generator_alone_determines_the_result(transform: Transform) -> None:
    before = sample()
    after, again, other = (transform(before, np.random.default_rng(seed)) for seed in (3, 3, 4))
    for name, array in after.arrays().items():
        np.testing.assert_array_equal(array, getattr(again, name))
    same = len(other.pos) == len(after.pos) and np.array_equal(other.pos, after.pos)
    same = same and np.array_equal(other.color, after.color)
    assert same == isinstance(transform, MissingColor)
    never = type(transform)(p=0)(before, np.random.default_rng(0))
    assert never is before
    assert transform(before.take(np.arange(0)), np.random.default_rng(0)).num_points == 0


def test_exposure_scales_and_clips() -> None:
    before, rng, factors = sample(), np.random.default_rng(0), []
    darkest = before.color.argmin()
    for _ in range(50):
        after = RandomExposure(p=1, exposure=2, contrast=1, saturation=1, cast=0)(before, rng).color
        factor = float(after.flat[darkest] / before.color.flat[darkest])
        np.testing.assert_allclose(after, np.clip(before.color * np.float32(factor), 0, 255), rtol=1e-4)
        factors.append(factor)
    assert 0.5 <= min(factors) < 0.6
    assert 1.7 < max(factors) <= 2
    gray = RandomExposure(p=1, exposure=1, contrast=1, saturation=1, cast=0.3)(before, rng).color
    ratio = gray[gray.max(axis=1) < 255].astype(np.float64) / before.color[gray.max(axis=1) < 255]
    np.testing.assert_allclose(ratio.std(axis=0), 0, atol=1e-4)  # one factor per channel
    assert np.ptp(ratio[0]) > 0.05


def test_spacing_and_ceiling() -> None:
    before = sample()
    sparse = RandomSpacing(p=1, low=0.5, high=0.5)(before, np.random.default_rng(0))
    cells = np.floor(sparse.pos.astype(np.float64) / 0.5)
    assert len(np.unique(cells, axis=0)) == len(cells) == len(np.unique(np.floor(before.pos / 0.5), axis=0))
    for seed in range(20):
        cut = CeilingCut(p=1, deepest=0.6)(before, np.random.default_rng(seed)).pos[:, 2].max()
        assert 3.5 - 0.7 < cut < 3.5 - 0.04


def test_noise_has_at_most_the_stated_strength() -> None:
    before, found = sample(), []
    for seed in range(40):
        after = RandomNoise(p=1, most=0.02)(before, np.random.default_rng(seed))
        found.append((after.pos - before.pos).std())
    assert max(found) < 0.0205
    assert max(found) > 0.018
    assert min(found) < 0.003
