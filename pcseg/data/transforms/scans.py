"""Augmentations that imitate other scans: exposure and casts, missing colors and ceilings, spacing and noise."""

from dataclasses import dataclass, replace

import numpy as np

from pcseg.data.sample import Sample, Transform
from pcseg.data.voxels import group_by_voxel
from pcseg.errors import require
from pcseg.values import Meters, Positive, PositiveMeters, Probability, checked


@checked("RandomExposure.")
@dataclass(frozen=True, kw_only=True)
class RandomExposure(Transform):
    """Change exposure, contrast, saturation and color cast of the whole sample, and clip.

    Args:
        p: Probability.
        exposure: Largest factor of the brightness, or its inverse, log-uniform.
        contrast: Largest power of the brightness, or its inverse, log-uniform.
        saturation: Largest factor of the distance to gray, or its inverse, log-uniform.
        cast: Standard deviation of the logarithm of the factor of each channel.
    """

    p: Probability = 0.8
    exposure: Positive = 2.0
    contrast: Positive = 1.5
    saturation: Positive = 2.0
    cast: Probability = 0.08

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        exposure, contrast, saturation = (
            value ** rng.uniform(-1, 1) for value in (self.exposure, self.contrast, self.saturation)
        )
        factor = (exposure * np.exp(rng.normal(0, self.cast, 3)) / 255).astype(np.float32)
        color = sample.color * factor
        gray = color.mean(axis=1, keepdims=True)
        color = np.clip(gray + np.float32(saturation) * (color - gray), 0, 4) ** np.float32(contrast)
        return replace(sample, color=np.clip(255 * color, 0, 255))


@checked("MissingColor.")
@dataclass(frozen=True, kw_only=True)
class MissingColor(Transform):
    """Replace all colors by 0, as ``data.missing_color: zero`` does for clouds without colors.

    Args:
        p: Probability.
    """

    p: Probability = 0.15

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, color=np.zeros_like(sample.color)) if rng.random() < self.p else sample


@checked("CeilingCut.")
@dataclass(frozen=True, kw_only=True)
class CeilingCut(Transform):
    """Remove the points above a random height, such as ceilings.

    Args:
        p: Probability.
        deepest: Largest distance of the height below the top of the sample in meters.
    """

    p: Probability = 0.2
    deepest: Meters = 1.0

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p or sample.num_points == 0:
            return sample
        # of 1 % of the points: strays lie above
        height = np.quantile(sample.pos[:, 2], 0.99) - rng.uniform(0.05, max(self.deepest, 0.05))
        kept = np.flatnonzero(sample.pos[:, 2] < height)
        return sample.take(kept) if len(kept) else sample


@checked("RandomSpacing.")
@dataclass(frozen=True, kw_only=True)
class RandomSpacing(Transform):
    """Keep one random point per cell of a random size.

    Args:
        p: Probability.
        low, high: Limits of the edge of a cell in meters, log-uniform.
    """

    p: Probability = 0.3
    low: PositiveMeters = 0.04
    high: PositiveMeters = 0.15

    def __post_init__(self) -> None:
        require(self.low <= self.high, "RandomSpacing.low", self.low, "Use at most RandomSpacing.high.")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        edge = float(np.exp(rng.uniform(*np.log([self.low, self.high]))))
        return sample.take(np.sort(group_by_voxel(sample.pos, edge).random_points(rng)))


@checked("RandomNoise.")
@dataclass(frozen=True, kw_only=True)
class RandomNoise(Transform):
    """Add normal noise of a random strength to the positions.

    Args:
        p: Probability.
        most: Largest standard deviation in meters.
    """

    p: Probability = 0.5
    most: Meters = 0.02

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        noise = rng.standard_normal(sample.pos.shape, dtype=np.float32) * np.float32(
            rng.uniform(0, self.most)
        )
        return replace(sample, pos=sample.pos + noise)
