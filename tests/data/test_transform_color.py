"""Color augmentations change only colors, within their range."""

import numpy as np
import pytest

from pcseg.data.sample import Sample
from pcseg.data.transforms import ChromaticAutoContrast, ChromaticJitter, ChromaticTranslation, Transform


def sample(color: np.ndarray) -> Sample:
    color = color.copy()
    color.setflags(write=False)
    nothing = np.zeros(len(color), np.int16)
    pos = np.zeros((len(color), 3), np.float32)
    return Sample(name="room", pos=pos, color=color, label=nothing, instance=nothing)


def random_colors(num_points: int = 2000, low: int = 60, high: int = 180) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, (num_points, 3), dtype=np.uint8)


ALL = [ChromaticAutoContrast(p=1), ChromaticTranslation(p=1), ChromaticJitter(p=1)]


@pytest.mark.parametrize("transform", ALL, ids=lambda transform: type(transform).__name__)
def test_colors_stay_in_range_and_follow_the_generator(transform: Transform) -> None:
    before = sample(random_colors(low=0, high=255))
    for _ in range(5):
        after, again = (transform(before, np.random.default_rng(7)) for _ in range(2))
        assert after.color.dtype == np.float32
        assert after.color.min() >= 0
        assert after.color.max() <= 255.001
        assert (after.color == again.color).all()
        assert after.pos is before.pos
    floats = sample(before.color.astype(np.float32))
    expected = transform(before, np.random.default_rng(7)).color
    np.testing.assert_allclose(transform(floats, np.random.default_rng(7)).color, expected, atol=1e-4)
    assert transform(before.take(np.arange(1)), np.random.default_rng(0)).color.shape == (1, 3)


def test_auto_contrast_fills_the_range() -> None:
    color = random_colors()
    color[:, 2] = 77
    stretched = ChromaticAutoContrast(p=1, blend=1.0)(sample(color), np.random.default_rng(0)).color
    np.testing.assert_allclose(stretched[:, :2].min(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(stretched[:, :2].max(axis=0), 255, atol=1e-3)
    assert (stretched[:, 2] == 77).all(), "a channel of one value has no contrast to raise"
    half = ChromaticAutoContrast(p=1, blend=0.5)(sample(color), np.random.default_rng(0)).color
    np.testing.assert_allclose(half, (stretched + color) / 2, atol=1e-3)


def test_translation_adds_one_color_within_its_range() -> None:
    color, rng, shifts = random_colors(low=100, high=120), np.random.default_rng(0), []
    for _ in range(300):
        shift = ChromaticTranslation(p=1, ratio=0.1)(sample(color), rng).color - color
        assert np.ptp(shift, axis=0).max() < 1e-4
        shifts.append(shift[0])
    assert 24 < np.abs(shifts).max() <= 25.5001
    assert np.ptp(shifts, axis=1).max() > 10, "channels are drawn by themselves"


def test_jitter_has_the_given_deviation() -> None:
    color = random_colors(20_000, low=120, high=130)
    noise = ChromaticJitter(p=1, std=0.02)(sample(color), np.random.default_rng(0)).color - color
    assert abs(noise.std() - 5.1) < 0.1
    assert abs(noise.mean()) < 0.1


def test_colors_change_with_the_given_probability() -> None:
    before, rng = sample(random_colors(5)), np.random.default_rng(0)
    for kind in (ChromaticAutoContrast, ChromaticTranslation, ChromaticJitter):
        changed = [kind(p=0.3)(before, rng) is not before for _ in range(300)]
        assert 0.2 < np.mean(changed) < 0.4
