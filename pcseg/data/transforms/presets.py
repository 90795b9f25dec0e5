"""Augmentations of Pointcept's indoor configurations, as single transforms."""

from dataclasses import dataclass

import numpy as np

from pcseg.data.sample import Sample, Transform, apply_all
from pcseg.data.transforms.color import ChromaticAutoContrast, ChromaticJitter, ChromaticTranslation
from pcseg.data.transforms.geometry import (
    CenterShift,
    ElasticDistortion,
    RandomFlip,
    RandomJitter,
    RandomRotate,
    RandomScale,
)
from pcseg.data.transforms.sampling import RandomDropout
from pcseg.values import checked


@checked("IndoorGeometry.")
@dataclass(frozen=True, kw_only=True)
class IndoorGeometry(Transform):
    """Augment positions as Pointcept does for S3DIS, and for ScanNet with ``elastic``.

    Center shift, dropout, rotations, scale, flip, jitter and elastic distortion with the published values.

    Args:
        rotate: Maximum rotation about z in degrees, applied to half of the samples.
        quarter_turns: These are also rotated by a random multiple of 90 degrees.
        elastic: Apply :class:`~pcseg.data.transforms.ElasticDistortion`.
    """

    rotate: float = 180.0
    quarter_turns: bool = False
    elastic: bool = False

    def steps(self) -> list[Transform]:
        """Return the transforms in order."""
        steps: list[Transform] = [
            CenterShift(),
            RandomDropout(p=0.2, ratio=0.2),
            RandomRotate(axis="z", degrees=self.rotate, quarter_turns=self.quarter_turns, p=0.5),
            RandomRotate(axis="x", degrees=180 / 64, p=0.5),
            RandomRotate(axis="y", degrees=180 / 64, p=0.5),
            RandomScale(low=0.9, high=1.1),
            RandomFlip(p=0.5),
            RandomJitter(sigma=0.005, clip=0.02),
        ]
        return [*steps, ElasticDistortion()] if self.elastic else steps

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return apply_all(self.steps(), sample, rng)


@dataclass(frozen=True, kw_only=True)
class IndoorColor(Transform):
    """Augment colors as Pointcept does for S3DIS and ScanNet: contrast, a common shift, and noise.

    Convention:
        Applied after grid sampling, on fewer points than in Pointcept.
    """

    def steps(self) -> list[Transform]:
        """Return the transforms in order."""
        return [
            ChromaticAutoContrast(p=0.2),
            ChromaticTranslation(p=0.95, ratio=0.05),
            ChromaticJitter(p=0.95, std=0.05),
        ]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return apply_all(self.steps(), sample, rng)
