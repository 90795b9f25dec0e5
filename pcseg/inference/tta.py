"""Test-time augmentation (TTA): the augmented passes over a scene whose scores are averaged."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pcseg.data.sample import Sample
from pcseg.data.transforms.geometry import turn

SceneTransform = Callable[[Sample], Sample]
"""Change positions, normals or colors of a scene; row i of the result is row i of the scene."""

EvaluationProtocol = Literal["s3dis", "scannet", "generic"]
"""Evaluation rules: the passes of TTA and the format of the scores. ``generic`` is for all other data sets."""


@dataclass(frozen=True, kw_only=True)
class TTAPass:
    """Scale a scene, rotate it about the vertical axis, and mirror it in x and y.

    Args:
        scale: Factor on positions.
        quarter_turns: Number of rotations by 90 degrees, counterclockwise seen from above.
        flip: Mirror both x and y.

    Convention:
        The fixed point is the center of the bottom of the bounding box. Pointcept first moves this point to the
        origin; here it keeps its position, so voxel borders differ by less than a voxel.
    """

    scale: float = 1.0
    quarter_turns: int = 0
    flip: bool = False

    def __str__(self) -> str:
        """Return the name in a provenance record, such as ``identity`` or ``rotate 90 scale 1.05 flip``."""
        parts = [f"rotate {90 * self.quarter_turns}"] * bool(self.quarter_turns)
        parts += [f"scale {self.scale:g}"] * (self.scale != 1) + ["flip"] * self.flip
        return " ".join(parts) or "identity"

    def __call__(self, sample: Sample) -> Sample:
        """Return the augmented scene; the identity returns ``sample`` itself."""
        if self == TTAPass() or sample.num_points == 0:
            return sample
        low, high = sample.pos.min(axis=0), sample.pos.max(axis=0)
        pivot = np.array([*((low + high) / 2)[:2], low[2]], dtype=np.float32)
        cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[self.quarter_turns % 4]
        matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], dtype=np.float64)
        if self.flip:
            matrix = matrix @ np.diag([-1.0, -1.0, 1.0])
        moved = turn(replace(sample, pos=sample.pos - pivot), matrix)
        scale = np.float32(self.scale)
        height = None if sample.height is None else sample.height * scale
        return replace(moved, pos=moved.pos * scale + pivot, height=height)


SINGLE_PASS = (TTAPass(),)
"""One pass over the unchanged scene."""

S3DIS_PASSES = tuple(
    TTAPass(scale=scale, flip=flip) for flip in (False, True) for scale in (1.0, 0.9, 0.95, 1.05, 1.1)
)
"""Ten passes: five scales, each unchanged and mirrored in x and y."""

SCANNET_PASSES = (
    *(TTAPass(scale=scale, quarter_turns=turns) for scale in (1.0, 0.95, 1.05) for turns in range(4)),
    TTAPass(flip=True),
)
"""Thirteen passes: four rotations at three scales, and a mirrored scene.

Convention:
    Mirroring x and y is a rotation by 180 degrees. The last pass repeats the third, which therefore counts twice.
"""

TTA_PASSES: dict[EvaluationProtocol, tuple[TTAPass, ...]] = {
    "s3dis": S3DIS_PASSES,
    "scannet": SCANNET_PASSES,
    "generic": S3DIS_PASSES,
}
"""The passes of each protocol; the first one is the identity."""
