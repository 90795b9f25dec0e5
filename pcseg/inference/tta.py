"""Test-time augmentation: the views of a scene whose scores are averaged, as the field defines them."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pcseg.data.sample import Sample
from pcseg.data.transforms.geometry import turn

Protocol = Literal["s3dis", "scannet"]
"""Whose rules an evaluation follows: the passes of its test-time augmentation and how scores are reported."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A vote: the scene scaled, turned about the vertical, and mirrored in x and y.

    Args:
        scale: Factor on positions.
        quarters: Quarter turns, counter-clockwise seen from above.
        flip: Mirror x and y, both.

    Convention:
        Scaled and turned about the middle of the bounding box, at its bottom. Pointcept first moves that point
        to the origin; here it stays where it is, so the borders of voxels lie elsewhere by less than a voxel.
    """

    scale: float = 1.0
    quarters: int = 0
    flip: bool = False

    def __str__(self) -> str:
        """How a protocol names the view: ``identity``, ``scale 0.9``, ``turn 90 scale 1.05``, ``flip`` …"""
        parts = [f"turn {90 * self.quarters}"] * bool(self.quarters)
        parts += [f"scale {self.scale:g}"] * (self.scale != 1) + ["flip"] * self.flip
        return " ".join(parts) or "identity"

    def __call__(self, sample: Sample) -> Sample:
        """The changed scene; without a change, the one given."""
        if self == View() or sample.num_points == 0:
            return sample
        low, high = sample.pos.min(axis=0), sample.pos.max(axis=0)
        pivot = np.array([*((low + high) / 2)[:2], low[2]], dtype=np.float32)
        cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[self.quarters % 4]
        matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], dtype=np.float64)
        if self.flip:
            matrix = matrix @ np.diag([-1.0, -1.0, 1.0])
        moved = turn(replace(sample, pos=sample.pos - pivot), matrix)
        scale = np.float32(self.scale)
        height = None if sample.height is None else sample.height * scale
        return replace(moved, pos=moved.pos * scale + pivot, height=height)


SINGLE = (View(),)
"""One pass, nothing changed."""

S3DIS_VIEWS = tuple(
    View(scale=scale, flip=flip) for flip in (False, True) for scale in (1.0, 0.9, 0.95, 1.05, 1.1)
)
"""Ten passes: five scales, each as it is and mirrored in x and y."""

SCANNET_VIEWS = (
    *(View(scale=scale, quarters=quarters) for scale in (1.0, 0.95, 1.05) for quarters in range(4)),
    View(flip=True),
)
"""Thirteen passes: four turns at three scales, and a mirrored one.

Convention:
    To mirror x and y is to turn by 180°: the last pass repeats the third, which counts twice.
"""

VIEWS: dict[Protocol, tuple[View, ...]] = {"s3dis": S3DIS_VIEWS, "scannet": SCANNET_VIEWS}
"""The passes of every protocol; the first one changes nothing."""
