"""Confusion matrix of a whole split, and the scores that come from it."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

Absent = Literal["excluded", "zero"]
"""What a mean does with a class that has no score: leave it out, or count it as 0."""


def confusion(pred: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Count pairs of labels: ``(K, K + 1)`` int64, row = target, column = prediction.

    Args:
        pred: ``(N,)`` integer labels.
        target: ``(N,)`` integer labels; rows with a negative target (``IGNORE_INDEX``) are not counted.
        num_classes: K.

    Convention:
        The last column holds predictions outside 0..K-1: a miss of the target's class that is nobody's false
        positive, as in the ScanNet benchmark.

    Raises:
        ValueError: A target of K or more.
    """
    labelled = target >= 0
    pred, target = pred[labelled].long(), target[labelled].long()
    pred = pred.where((pred >= 0) & (pred < num_classes), num_classes)
    counts = torch.bincount(target * (num_classes + 1) + pred, minlength=num_classes * (num_classes + 1))
    if len(counts) > num_classes * (num_classes + 1):
        raise ValueError(f"targets reach {int(target.max())}, there are {num_classes} classes")
    return counts.view(num_classes, num_classes + 1)


class ConfusionMatrix:
    """Running sum of :func:`confusion` over batches or scenes, and mIoU, mAcc, OA and scores a class.

    Scores are of the whole split: counts are summed first and divided once, never averaged over scenes. They
    are Python floats or float64 tensors in 0..1.

    Convention:
        *IoU* of a class = tp / (tp + fp + fn). It does not exist (nan) for a class that is absent: neither
        labelled nor predicted anywhere. *Accuracy* of a class = tp / labelled; it does not exist for a class
        that is never labelled. A mean leaves such classes out (``absent="excluded"``, like torchmetrics and
        mmdetection3d) or counts them as 0 (``absent="zero"``, like the final score of Pointcept). A class
        that is never labelled but predicted has IoU 0 in both. Without a labelled point every score is nan.
    """

    def __init__(self, num_classes: int, counts: Tensor | None = None) -> None:
        self.num_classes = num_classes
        empty = torch.zeros(num_classes, num_classes + 1, dtype=torch.int64)
        self.counts = empty if counts is None else counts

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add labels ``(N,)``; the counts move to their device."""
        self.counts = self.counts.to(pred.device) + confusion(pred, target, self.num_classes)

    def reset(self) -> None:
        self.counts = torch.zeros_like(self.counts)

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """The matrix of both splits together, such as the areas of a cross-validation."""
        return ConfusionMatrix(self.num_classes, self.counts.cpu() + other.counts.cpu())

    def summed_over_processes(self) -> "ConfusionMatrix":
        """The sum over all processes of a distributed run, on the CPU; without one, a copy."""
        counts = self.counts.clone()
        if dist.is_available() and dist.is_initialized():
            counts = counts.to("cuda") if dist.get_backend() == "nccl" else counts.cpu()
            dist.all_reduce(counts)
        return ConfusionMatrix(self.num_classes, counts.cpu())

    @property
    def labelled(self) -> Tensor:
        """Labelled points of every class, ``(K,)``."""
        return self.counts.sum(1)

    @property
    def predicted(self) -> Tensor:
        """Labelled points that were predicted as each class, ``(K,)``."""
        return self.counts[:, : self.num_classes].sum(0)

    @property
    def correct(self) -> Tensor:
        """True positives of every class, ``(K,)``."""
        return self.counts.diagonal()

    @property
    def absent(self) -> Tensor:
        """Classes that are neither labelled nor predicted, ``(K,)`` bool."""
        return self.labelled + self.predicted == 0

    def iou(self) -> Tensor:
        """IoU of every class, ``(K,)``; nan where it does not exist."""
        return self.correct.double() / (self.labelled + self.predicted - self.correct)

    def accuracy(self) -> Tensor:
        """Accuracy (recall) of every class, ``(K,)``; nan where it does not exist."""
        return self.correct.double() / self.labelled

    def mean_iou(self, *, absent: Absent = "excluded", classes: Sequence[int] | None = None) -> float:
        """Mean IoU over the classes, or over some of them; their IoU is that of the whole matrix."""
        return _mean(_some(self.iou(), classes), absent, any_label=bool(self.labelled.any()))

    def mean_accuracy(self, *, absent: Absent = "excluded", classes: Sequence[int] | None = None) -> float:
        """Mean accuracy over the classes, or over some of them."""
        return _mean(_some(self.accuracy(), classes), absent, any_label=bool(self.labelled.any()))

    def overall_accuracy(self) -> float:
        """Share of the labelled points that are right."""
        return float(self.correct.sum().double() / self.labelled.sum())


def _some(scores: Tensor, classes: Sequence[int] | None) -> Tensor:
    return scores if classes is None else scores[list(classes)]


def _mean(scores: Tensor, absent: Absent, *, any_label: bool) -> float:
    if absent == "zero" and any_label:
        return float(scores.nan_to_num(0).mean())
    return float(scores.nanmean())
