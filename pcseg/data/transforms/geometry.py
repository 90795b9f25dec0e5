"""Augmentations of positions; rotations and flips also apply to normals."""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from pcseg.data.sample import Sample, Transform
from pcseg.errors import require
from pcseg.values import Meters, Positive, PositiveMeters, Probability, checked


@dataclass(frozen=True, kw_only=True)
class CenterShift(Transform):
    """Move the center of the bounding box to x = y = 0, and its bottom to z = 0."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if sample.num_points == 0:
            return sample
        x, y, z = sample.pos.T
        shift = [(x.min() + x.max()) / 2, (y.min() + y.max()) / 2, z.min()]
        return replace(sample, pos=sample.pos - np.array(shift, dtype=np.float32))


@checked("RandomRotate.")
@dataclass(frozen=True, kw_only=True)
class RandomRotate(Transform):
    """Rotate the sample about an axis through the origin by a uniformly random angle.

    Args:
        axis: Axis.
        degrees: Maximum angle in either direction.
        quarter_turns: Then also rotate by a random multiple of 90 degrees.
        p: Probability.
    """

    axis: Literal["x", "y", "z"] = "z"
    degrees: float = 180.0
    quarter_turns: bool = False
    p: Probability = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        angle = np.deg2rad(rng.uniform(-self.degrees, self.degrees))
        if self.quarter_turns:
            angle += np.pi / 2 * rng.integers(4)
        return turn(sample, rotation(self.axis, angle))


@checked("RandomScale.")
@dataclass(frozen=True, kw_only=True)
class RandomScale(Transform):
    """Scale the sample by a uniformly random factor between ``low`` and ``high``."""

    low: Positive = 0.9
    high: Positive = 1.1

    def __post_init__(self) -> None:
        require(self.low <= self.high, "RandomScale.low", self.low, "Use at most RandomScale.high.")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, pos=sample.pos * np.float32(rng.uniform(self.low, self.high)))


@checked("RandomFlip.")
@dataclass(frozen=True, kw_only=True)
class RandomFlip(Transform):
    """Mirror x and, independently, y.

    Args:
        p: Probability of each.
    """

    p: Probability = 0.5

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        signs = np.where([*(rng.random(2) < self.p), False], -1, 1)
        return sample if signs.min() == 1 else turn(sample, np.diag(signs))


@checked("RandomJitter.")
@dataclass(frozen=True, kw_only=True)
class RandomJitter(Transform):
    """Add clipped normal noise to the position of every point.

    Args:
        sigma: Standard deviation in meters.
        clip: Maximum change of a coordinate in meters.
    """

    sigma: Meters = 0.005
    clip: Meters = 0.02

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        noise = rng.standard_normal(sample.pos.shape, dtype=np.float32)
        noise *= np.float32(self.sigma)
        np.clip(noise, -self.clip, self.clip, out=noise)
        noise += sample.pos
        return replace(sample, pos=noise)


@checked("ElasticDistortion.")
@dataclass(frozen=True, kw_only=True)
class ElasticDistortion(Transform):
    """Move points by smooth random fields (Choy et al., 2019): blurred noise on a coarse grid, interpolated.

    Args:
        granularity: Spacing of the grid of each field in meters.
        magnitude: Scale of the displacements of each field in meters.
        p: Probability.

    Convention:
        Normals do not change, as in Pointcept.
    """

    granularity: list[PositiveMeters] = field(default_factory=lambda: [0.2, 0.8])
    magnitude: list[Meters] = field(default_factory=lambda: [0.4, 1.6])
    p: Probability = 0.95

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p or sample.num_points == 0:
            return sample
        pos = sample.pos
        for spacing, size in zip(self.granularity, self.magnitude):
            pos = pos + np.float32(size) * smooth_noise(pos, spacing, rng)
        return replace(sample, pos=pos)


def rotation(axis: Literal["x", "y", "z"], angle: float) -> np.ndarray:
    """Return the matrix that rotates column vectors by ``angle`` (radians, counterclockwise about the axis)."""
    a, b = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[b, a], matrix[a, b] = np.sin(angle), -np.sin(angle)
    return matrix


def turn(sample: Sample, matrix: np.ndarray) -> Sample:
    """Multiply positions and normals by an orthogonal matrix ``(3, 3)``, as column vectors."""
    normal = None if sample.normal is None else _rotated(sample.normal, matrix)
    return replace(sample, pos=_rotated(sample.pos, matrix), normal=normal)


def smooth_noise(pos: np.ndarray, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth random vector per point, ``(N, 3)``: normal noise on a grid, blurred twice, interpolated."""
    low, high = pos.min(axis=0), pos.max(axis=0)
    size = ((high - low) // spacing).astype(int) + 3  # one cell of margin on either side
    noise = torch.from_numpy(rng.standard_normal((1, 3, *size), dtype=np.float32))
    for _ in range(2):
        for axis in range(3):
            padding = [0] * 3
            padding[axis] = 1
            window = [2 * width + 1 for width in padding]
            noise = F.avg_pool3d(noise, window, stride=1, padding=padding)
    # grid_sample wants -1..1 from the first node to the last, and the last axis first
    node = (pos - (low - np.float32(spacing))) / np.float32(spacing)
    unit = torch.from_numpy((2 * node / (size - 1).astype(np.float32) - 1)[:, ::-1].copy())
    values = F.grid_sample(noise, unit.view(1, 1, 1, -1, 3), align_corners=True)
    return values.view(3, -1).T.contiguous().numpy()


def _rotated(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Multiply every row by the matrix, in float32."""
    # by columns, since BLAS would start threads that wait for each other when all cores are busy
    rotated = np.empty_like(vectors)
    for column, weights in zip(rotated.T, matrix.astype(np.float32)):
        parts = [vectors[:, axis] * weight for axis, weight in enumerate(weights) if weight != 0]
        np.sum(parts, axis=0, out=column)
    return rotated
