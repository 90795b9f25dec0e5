"""Confusion matrix of a whole split and the scores computed from it."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from pcseg.ops.segment import bin_counts

Absent = Literal["excluded", "zero"]
"""How a mean treats a class that has no score: exclude it, or count it as 0."""


def confusion(pred: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Count pairs of labels, ``(K, K + 1)`` int64; row = target, column = prediction.

    Args:
        pred: ``(N,)`` integer labels.
        target: ``(N,)`` integer labels; rows with a negative target (``IGNORE_INDEX``) are not counted.
        num_classes: K.

    Convention:
        The last column counts predictions outside 0..K-1. Such a prediction is a false negative of the target's
        class and a false positive of no class, as in the ScanNet benchmark.

    Raises:
        ValueError: A target is K or more; on a GPU, an assertion of the device fails.
    """
    pred = pred.where((pred >= 0) & (pred < num_classes), num_classes).long()
    # rows without a label go to an extra bin, since a GPU would wait for their number
    bins = (target.long() * (num_classes + 1) + pred + 1).where(target >= 0, 0)
    counts = bin_counts(bins, num_classes * (num_classes + 1) + 1)[1:]
    if len(counts) > num_classes * (num_classes + 1):
        raise ValueError(f"targets reach {int(target.max())}, but there are {num_classes} classes")
    return counts.view(num_classes, num_classes + 1)


class ConfusionMatrix:
    """Sum :func:`confusion` over batches or scenes and compute mIoU, mAcc, OA and the scores of each class.

    Counts are summed over the whole split and divided once; scores are never averaged over scenes. Scores are
    Python floats or float64 tensors in 0..1.

    Convention:
        The *IoU* of a class is tp / (tp + fp + fn). It is NaN for an absent class, which is neither labeled nor
        predicted anywhere. The *accuracy* of a class is tp / labeled points. It is NaN for a class that is never
        labeled. A mean excludes NaN (``absent="excluded"``, as in torchmetrics and mmdetection3d) or counts it as
        0 (``absent="zero"``, as in the final score of Pointcept). A class that is predicted but never labeled has
        IoU 0 in both cases. Without any labeled point every score is NaN.
    """

    def __init__(self, num_classes: int, counts: Tensor | None = None) -> None:
        self.num_classes = num_classes
        empty = torch.zeros(num_classes, num_classes + 1, dtype=torch.int64)
        self.counts = empty if counts is None else counts

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add labels ``(N,)``. The counts move to the device of ``pred``."""
        self.counts = self.counts.to(pred.device) + confusion(pred, target, self.num_classes)

    def reset(self) -> None:
        self.counts = torch.zeros_like(self.counts)

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """Return the matrix of two splits together, for example of two areas in a cross-validation."""
        return ConfusionMatrix(self.num_classes, self.counts.cpu() + other.counts.cpu())

    def summed_over_processes(self) -> "ConfusionMatrix":
        """Return the sum over all processes of a distributed run, on the CPU; without distribution, a copy."""
        counts = self.counts.clone()
        if dist.is_available() and dist.is_initialized():
            counts = counts.to("cuda") if dist.get_backend() == "nccl" else counts.cpu()
            dist.all_reduce(counts)
        return ConfusionMatrix(self.num_classes, counts.cpu())

    @property
    def labeled(self) -> Tensor:
        """Number of labeled points of every class, ``(K,)``."""
        return self.counts.sum(1)

    @property
    def predicted(self) -> Tensor:
        """Number of labeled points that were predicted as each class, ``(K,)``."""
        return self.counts[:, : self.num_classes].sum(0)

    @property
    def correct(self) -> Tensor:
        """True positives of every class, ``(K,)``."""
        return self.counts.diagonal()

    @property
    def absent(self) -> Tensor:
        """Mask of the classes that are neither labeled nor predicted, ``(K,)`` bool."""
        return self.labeled + self.predicted == 0

    def iou(self) -> Tensor:
        """Return the IoU of every class, ``(K,)``; NaN for absent classes."""
        return self.correct.double() / (self.labeled + self.predicted - self.correct)

    def accuracy(self) -> Tensor:
        """Return the accuracy (recall) of every class, ``(K,)``; NaN for classes that are never labeled."""
        return self.correct.double() / self.labeled

    def mean_iou(self, *, absent: Absent = "excluded", classes: Sequence[int] | None = None) -> float:
        """Return the mean IoU over all classes or over ``classes``, whose IoU is that of the whole matrix."""
        return self._mean(self.iou(), absent, classes)

    def mean_accuracy(self, *, absent: Absent = "excluded", classes: Sequence[int] | None = None) -> float:
        """Return the mean accuracy over all classes or over ``classes``."""
        return self._mean(self.accuracy(), absent, classes)

    def overall_accuracy(self) -> float:
        """Return the share of the labeled points that are predicted correctly."""
        return float(self.correct.sum().double() / self.labeled.sum())

    def _mean(self, scores: Tensor, absent: Absent, classes: Sequence[int] | None) -> float:
        scores = scores if classes is None else scores[list(classes)]
        if absent == "zero" and self.labeled.any():
            return float(scores.nan_to_num(0).mean())
        return float(scores.nanmean())
