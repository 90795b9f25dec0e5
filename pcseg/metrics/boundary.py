"""Boundary IoU: IoU near class boundaries, where large surfaces do not hide errors."""

import numpy as np
import torch
from torch import Tensor

from pcseg.data.voxels import VoxelGroups, group_by_voxel
from pcseg.labels import IGNORE_INDEX
from pcseg.ops.kernel_lookup import submanifold_map
from pcseg.ops.voxels import VoxelSet


def boundary_counts(
    pos: np.ndarray, pred: np.ndarray, label: np.ndarray, *, num_classes: int, width: float
) -> Tensor:
    """Count the boundary IoU of one scene (Cheng et al. 2021, eq. 3, with points instead of pixels).

    Returns the numbers of points in the intersection and in the union for every class, ``(2, K)``. Counts are added
    over scenes; their quotient is the boundary IoU, NaN for a class without a boundary.

    A point is near a boundary if its cell and the 26 cells around it contain points of at least two classes. The
    boundary IoU of a class is the IoU of two sets: the points near a boundary of the labels that have this label,
    and the points near a boundary of the predictions that have this prediction.

    Args:
        pos: Positions in meters, ``(N, 3)``.
        pred: Predicted classes, ``(N,)``.
        label: Classes, ``(N,)``; unlabeled points and their predictions are not used.
        num_classes: K.
        width: Edge length of a cell in meters.

    Convention:
        "Near" means 1 to 2 ``width``, depending on the position of the point in its cell. The grid of cells passes
        through the origin. As ``width`` grows, the boundary IoU approaches the IoU.
    """
    known = label >= 0
    pos, pred, label = pos[known], pred[known], label[known]
    groups = group_by_voxel(pos, width)
    pred = np.where((pred >= 0) & (pred < num_classes), pred, IGNORE_INDEX)
    voxels = VoxelSet(torch.from_numpy(groups.grid_pos), torch.tensor([0, groups.num_voxels]))
    around = submanifold_map(voxels, 3).neighbors.T.numpy()
    near_label, near_pred = (near_boundary(groups, around, values, num_classes) for values in (label, pred))
    both = near_label & near_pred & (label == pred)
    intersection = np.bincount(label[both], minlength=num_classes)
    labeled = np.bincount(label[near_label], minlength=num_classes)
    predicted = np.bincount(pred[near_pred & (pred >= 0)], minlength=num_classes)
    return torch.from_numpy(np.stack([intersection, labeled + predicted - intersection]))


def near_boundary(groups: VoxelGroups, around: np.ndarray, label: np.ndarray, num_classes: int) -> np.ndarray:
    """Return which points have two classes in the cells ``around`` theirs ``(27, V)``, ``(N,)`` bool; -1 is none."""
    known = label >= 0
    classes = np.zeros((groups.num_voxels, num_classes), dtype=bool)
    classes[groups.inverse[known], label[known]] = True
    near = np.zeros_like(classes)
    padded = np.concatenate([classes, near[:1]])  # the last row is that of empty cells
    for cells in around:
        near |= padded.take(cells, axis=0)
    return (near.sum(axis=1) >= 2)[groups.inverse]
