"""Geometric augmentations change only positions and normals, within their range."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import convolve

from pcseg.data.sample import Sample
from pcseg.data.transforms import (
    CenterShift,
    ElasticDistortion,
    RandomFlip,
    RandomJitter,
    RandomRotate,
    RandomScale,
    Transform,
)
from pcseg.data.transforms.geometry import rotation, smooth_noise


def sample(num_points: int = 400) -> Sample:
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((num_points, 3))
    arrays = {
        "pos": (rng.uniform([2, -5, 1], [8, -1, 4], (num_points, 3))).astype(np.float32),
        "color": rng.integers(0, 256, (num_points, 3), dtype=np.uint8),
        "label": rng.integers(-1, 13, num_points),
        "instance": rng.integers(-1, 5, num_points),
        "normal": (normal / np.linalg.norm(normal, axis=1, keepdims=True)).astype(np.float32),
    }
    for array in arrays.values():
        array.setflags(write=False)  # so that a transform that writes fails
    return Sample(name="room", **arrays)


ALL = [
    CenterShift(),
    RandomRotate(p=1),
    RandomScale(),
    RandomFlip(p=1),
    RandomJitter(),
    ElasticDistortion(p=1),
]


@pytest.mark.parametrize("transform", ALL, ids=lambda transform: type(transform).__name__)
def test_only_positions_change_and_follow_the_generator(transform: Transform) -> None:
    before = sample()
    after, again = (transform(before, np.random.default_rng(5)) for _ in range(2))
    assert after.pos.dtype == np.float32
    assert np.abs(after.pos - before.pos).max() > 1e-3
    assert (after.pos == again.pos).all()
    for name in ("color", "label", "instance"):
        assert getattr(after, name) is getattr(before, name)
    lone = transform(before.take(np.array([3])), np.random.default_rng(0))
    assert lone.pos.shape == (1, 3)
    bare = transform(replace(before, normal=None), np.random.default_rng(5))
    assert bare.normal is None
    assert (bare.pos == after.pos).all()


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_rotation_applies_to_positions_and_normals(axis: str) -> None:
    before, rng = sample(), np.random.default_rng(1)
    kept = "xyz".index(axis)
    angles = []
    for _ in range(200):
        after = RandomRotate(axis=axis, degrees=30, p=1)(before, rng)
        np.testing.assert_allclose(after.pos[:, kept], before.pos[:, kept], atol=1e-5)
        u, v = (kept + 1) % 3, (kept + 2) % 3
        angle = np.angle(
            (after.pos[:, u] + 1j * after.pos[:, v]) / (before.pos[:, u] + 1j * before.pos[:, v])
        )
        assert np.ptp(angle) < 1e-4
        angles.append(np.rad2deg(angle.mean()))
        dots = (before.pos * before.normal).sum(axis=1)  # angles between position and normal stay
        np.testing.assert_allclose((after.pos * after.normal).sum(axis=1), dots, atol=1e-4)
    assert max(angles) < 30.001
    assert min(angles) > -30.001
    assert max(angles) > 25
    assert min(angles) < -25
    np.testing.assert_allclose(rotation("z", np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_quarter_turns_keep_the_axes() -> None:
    before, rng = sample(), np.random.default_rng(0)
    found = set()
    for _ in range(40):
        after = RandomRotate(degrees=0, quarter_turns=True, p=1)(before, rng).pos
        turns = [
            turns
            for turns in range(4)
            if np.allclose(rotation("z", np.pi / 2 * turns) @ before.pos.T, after.T)
        ]
        found.update(turns)
        assert len(turns) == 1
    assert found == {0, 1, 2, 3}


def test_positions_change_with_the_given_probability() -> None:
    before, rng = sample(5), np.random.default_rng(0)
    for transform in (RandomRotate(p=0.3), ElasticDistortion(p=0.3)):
        changed = [transform(before, rng) is not before for _ in range(300)]
        assert 0.2 < np.mean(changed) < 0.4


def test_flip_mirrors_each_axis_independently_and_the_normals() -> None:
    before, rng = sample(), np.random.default_rng(0)
    seen = set()
    for _ in range(40):
        after = RandomFlip()(before, rng)
        signs = np.sign(after.pos[0] / before.pos[0])
        np.testing.assert_array_equal(after.pos, before.pos * signs)
        np.testing.assert_array_equal(after.normal, before.normal * signs)
        seen.add(tuple(signs.astype(int).tolist()))
    assert seen == {(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, 1)}


def test_scale_is_one_factor_in_its_range() -> None:
    before, rng = sample(), np.random.default_rng(0)
    factors = []
    for _ in range(100):
        after = RandomScale(low=0.8, high=1.1)(before, rng)
        factor = after.pos / before.pos
        assert np.ptp(factor) < 1e-5
        assert (after.normal == before.normal).all()
        factors.append(factor.mean())
    assert 0.8 <= min(factors) < 0.83
    assert 1.07 < max(factors) <= 1.1001


def test_jitter_has_the_given_deviation_and_limit() -> None:
    before = sample(20_000)
    moved = RandomJitter(sigma=0.01, clip=0.02)(before, np.random.default_rng(0)).pos - before.pos
    assert np.abs(moved).max() < 0.02 + 1e-6
    assert abs(np.median(np.abs(moved)) - 0.6745 * 0.01) < 3e-4
    assert np.abs(np.corrcoef(moved.T) - np.eye(3)).max() < 0.03


def test_center_shift() -> None:
    pos = CenterShift()(sample(), np.random.default_rng(0)).pos
    np.testing.assert_allclose(pos.min(axis=0)[:2], -pos.max(axis=0)[:2], atol=1e-5)
    assert pos[:, 2].min() == 0


def test_elastic_noise_equals_the_published_formulation() -> None:
    """Box filters with zeros outside and linear interpolation, written with SciPy."""
    pos, spacing = sample().pos, 0.7
    low, high = pos.min(axis=0), pos.max(axis=0)
    size = ((high - low) // spacing).astype(int) + 3
    noise = np.random.default_rng(3).standard_normal((1, 3, *size), dtype=np.float32)[0]
    for _ in range(2):
        for axis in range(3):
            shape = [1, 1, 1]
            shape[axis] = 3
            box = np.full(shape, 1 / 3)
            noise = np.stack([convolve(part, box, mode="constant", cval=0) for part in noise])
    nodes = [np.linspace(a - spacing, a + spacing * (n - 2), n) for a, n in zip(low, size)]
    interpolate = RegularGridInterpolator(nodes, np.moveaxis(noise, 0, -1))
    np.testing.assert_allclose(
        smooth_noise(pos, spacing, np.random.default_rng(3)), interpolate(pos), atol=1e-5
    )


def test_elastic_distortion_is_smooth() -> None:
    """Points one millimeter apart stay together, while the room as a whole is bent."""
    before = sample()
    shifted = replace(before, pos=np.concatenate([before.pos, before.pos + np.float32(0.001)]))
    moved = ElasticDistortion(p=1)(shifted, np.random.default_rng(0)).pos - shifted.pos
    first, second = np.split(moved, 2)
    assert np.abs(first - second).max() < 0.02
    assert np.abs(first).max() > 0.1
