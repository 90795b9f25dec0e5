"""Augmentations that choose points."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pcseg.data.sample import Sample
from pcseg.data.transforms.base import Transform
from pcseg.data.voxels import group_by_voxel
from pcseg.labels import IGNORE_INDEX

CropCenter = Literal["point", "class"]
"""What the middle of a crop is drawn from."""


@dataclass(frozen=True, kw_only=True)
class RandomDropout(Transform):
    """Removes points at random, each with the same probability.

    Args:
        p: Probability that any are removed.
        ratio: Probability of each point; if that leaves none, all stay.
    """

    p: float = 0.2
    ratio: float = 0.2

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        kept = np.flatnonzero(rng.random(sample.num_points, dtype=np.float32) >= self.ratio)
        return sample.take(kept) if len(kept) else sample


@dataclass(frozen=True, kw_only=True)
class GridSample(Transform):
    """Keeps one random point a voxel and sets ``grid_pos``.

    Args:
        grid_size: Edge of a voxel in metres.

    Convention:
        ``grid_pos`` belongs to the positions that come in: what moves points goes before.
    """

    grid_size: float

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        groups = group_by_voxel(sample.pos, self.grid_size)
        return replace(sample.take(groups.random_points(rng)), grid_pos=groups.grid_pos)


@dataclass(frozen=True, kw_only=True)
class SphereCrop(Transform):
    """Keeps the points nearest to a random point of the sample.

    Args:
        max_points: Number of points that stay; all without a value.
        ratio: Share of the points that stay.
        center: Middle of the crop: any point, or a point of a class drawn first, so that rare classes are
            shown as often as others.
    """

    max_points: int | None = None
    ratio: float = 1.0
    center: CropCenter = "point"

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        kept = max(int(self.ratio * sample.num_points), 1)
        kept = kept if self.max_points is None else min(kept, self.max_points)
        if kept >= sample.num_points:
            return sample
        away = sample.pos - sample.pos[self._middle(sample, rng)]
        index = np.argpartition(np.einsum("ij,ij->i", away, away), kept - 1)[:kept]
        index.sort()
        cropped = sample.take(index)
        if cropped.grid_pos is None:
            return cropped
        return replace(cropped, grid_pos=cropped.grid_pos - cropped.grid_pos.min(axis=0))

    def _middle(self, sample: Sample, rng: np.random.Generator) -> int:
        """The point in the middle of the crop."""
        if self.center == "class":
            classes = np.unique(sample.label[sample.label != IGNORE_INDEX])
            if len(classes):
                return int(rng.choice(np.flatnonzero(sample.label == rng.choice(classes))))
        return int(rng.integers(sample.num_points))
