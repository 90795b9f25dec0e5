"""Augmentations that select points."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pcseg.data.sample import Sample, Transform
from pcseg.data.voxels import group_by_voxel
from pcseg.labels import IGNORE_INDEX
from pcseg.values import PositiveInt, PositiveMeters, Probability, checked

CropCenter = Literal["point", "class"]
"""How the center of a crop is chosen."""


@checked("RandomDropout.")
@dataclass(frozen=True, kw_only=True)
class RandomDropout(Transform):
    """Remove random points, each with the same probability.

    Args:
        p: Probability that points are removed at all.
        ratio: Probability of each point; if no point would remain, all do.
    """

    p: Probability = 0.2
    ratio: Probability = 0.2

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        kept = np.flatnonzero(rng.random(sample.num_points, dtype=np.float32) >= self.ratio)
        return sample.take(kept) if len(kept) else sample


@checked("GridSample.")
@dataclass(frozen=True, kw_only=True)
class GridSample(Transform):
    """Keep one random point per voxel and set ``grid_pos``.

    Args:
        grid_size: Edge of a voxel in meters.

    Convention:
        ``grid_pos`` belongs to the current positions, so transforms that move points must come before.
    """

    grid_size: PositiveMeters

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        groups = group_by_voxel(sample.pos, self.grid_size)
        return replace(sample.take(groups.random_points(rng)), grid_pos=groups.grid_pos)


@checked("SphereCrop.")
@dataclass(frozen=True, kw_only=True)
class SphereCrop(Transform):
    """Keep the points nearest to a random point of the sample.

    Args:
        max_points: Number of points to keep.
        center: Center of the crop: any point, or a point of a random class, which shows rare classes as often as
            others.
    """

    max_points: PositiveInt
    center: CropCenter = "point"

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if self.max_points >= sample.num_points:
            return sample
        offset = sample.pos - sample.pos[self._center(sample, rng)]
        index = np.argpartition(np.einsum("ij,ij->i", offset, offset), self.max_points - 1)[: self.max_points]
        index.sort()
        cropped = sample.take(index)
        if cropped.grid_pos is None:
            return cropped
        return replace(cropped, grid_pos=cropped.grid_pos - cropped.grid_pos.min(axis=0))

    def _center(self, sample: Sample, rng: np.random.Generator) -> int:
        """Return the index of the point at the center of the crop."""
        if self.center == "class":
            classes = np.unique(sample.label[sample.label != IGNORE_INDEX])
            if len(classes):
                return int(rng.choice(np.flatnonzero(sample.label == rng.choice(classes))))
        return int(rng.integers(sample.num_points))
