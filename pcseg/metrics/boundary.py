"""IoU of the neighbourhoods of class boundaries, where large surfaces do not hide errors."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pcseg.data.voxels import VoxelGroups, group_by_voxel
from pcseg.labels import IGNORE_INDEX


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundaryCounts:
    """Points near boundaries, summed over scenes.

    Args:
        width: Edge of the cells that boundaries are found with, in metres.
        intersection: Points near a boundary in label and prediction that are of the class in both, ``(K,)``.
        union: Points near a boundary that are of the class, in label or prediction, ``(K,)``.
    """

    width: float
    intersection: Tensor
    union: Tensor

    def __add__(self, other: "BoundaryCounts") -> "BoundaryCounts":
        assert self.width == other.width, "boundaries of different widths do not add up"
        return BoundaryCounts(
            width=self.width,
            intersection=self.intersection + other.intersection,
            union=self.union + other.union,
        )

    def iou(self) -> Tensor:
        """Boundary IoU of every class, ``(K,)``; nan for a class without boundary."""
        return self.intersection.double() / self.union

    def mean_iou(self) -> float:
        """Mean over the classes that have a boundary."""
        return float(self.iou().nanmean())


def boundary_counts(
    pos: np.ndarray, pred: np.ndarray, label: np.ndarray, *, num_classes: int, width: float
) -> BoundaryCounts:
    """Count for the boundary IoU of one scene (Cheng et al. 2021, eq. 3, for points in place of pixels).

    A point is near a boundary if the cell it lies in and the 26 around hold points of another class; the cells
    have edges of ``width``. Boundary IoU of a class is the IoU of the points near a boundary of the labels that
    are labelled so, and the points near a boundary of the predictions that are predicted so.

    Args:
        pos: Positions in metres, ``(N, 3)``.
        pred: Predicted classes, ``(N,)``.
        label: Classes, ``(N,)``; points without one do not take part, nor do their predictions.
        num_classes: K.
        width: Edge of a cell in metres.

    Convention:
        "Near" is 1 to 2 ``width``, depending on where the point lies in its cell; the cells are those of the
        grid through the world's origin. As ``width`` grows, it becomes the IoU.
    """
    known = label >= 0
    pos, pred, label = pos[known], pred[known], label[known]
    groups = group_by_voxel(pos, width)
    pred = np.where((pred >= 0) & (pred < num_classes), pred, IGNORE_INDEX)
    near_label, near_pred = (near_boundary(groups, values, num_classes) for values in (label, pred))
    both = near_label & near_pred & (label == pred)
    right = np.bincount(label[both], minlength=num_classes)
    labelled = np.bincount(label[near_label], minlength=num_classes)
    predicted = np.bincount(pred[near_pred & (pred >= 0)], minlength=num_classes)
    return BoundaryCounts(
        width=width,
        intersection=torch.from_numpy(right),
        union=torch.from_numpy(labelled + predicted - right),
    )


def near_boundary(groups: VoxelGroups, label: np.ndarray, num_classes: int) -> np.ndarray:
    """Points in whose cell or the 26 cells around two classes meet, ``(N,)`` bool; -1 is no class."""
    known = label >= 0
    held = np.zeros((groups.num_voxels, num_classes), dtype=bool)
    held[groups.inverse[known], label[known]] = True
    near = held.copy()
    cells = groups.grid_pos.astype(np.int64) + 1  # with a margin, so that a step never wraps around
    size = cells.max(axis=0, initial=0) + 2
    keys = (cells[:, 0] * size[1] + cells[:, 1]) * size[2] + cells[:, 2]
    steps = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) > (0, 0, 0)]
    for x, y, z in steps:
        wanted = keys + ((x * size[1] + y) * size[2] + z)
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        (here,) = np.nonzero(keys[place] == wanted)
        there = place[here]
        near[here] |= held[there]
        near[there] |= held[here]
    return (near.sum(axis=1) >= 2)[groups.inverse]
