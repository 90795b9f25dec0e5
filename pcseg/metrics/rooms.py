"""Confusion matrices per room, and confidence intervals of scores by resampling rooms."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pcseg.errors import UserError, reason
from pcseg.files import atomic_path
from pcseg.metrics.confusion import ConfusionMatrix


@dataclass(frozen=True, kw_only=True, eq=False)
class RoomMatrices:
    """Confusion matrix of every room of a split.

    Args:
        names: ``<split>/<scene>`` of each room.
        counts: Counts as in :class:`ConfusionMatrix`, ``(R, K, K + 1)``.
    """

    names: tuple[str, ...]
    counts: Tensor

    def total(self) -> ConfusionMatrix:
        """Return the sum over all rooms."""
        return ConfusionMatrix(self.counts.shape[1], self.counts.sum(0))

    def __add__(self, other: "RoomMatrices") -> "RoomMatrices":
        return RoomMatrices(names=self.names + other.names, counts=torch.cat([self.counts, other.counts]))


def bootstrap_intervals(
    rooms: RoomMatrices, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]] | None:
    """Return percentile bootstrap intervals of mIoU, mAcc and OA over rooms (Efron 1979).

    Each resample draws as many rooms as there are, with replacement, sums their confusion matrices and computes
    the score of the sum.

    Args:
        rooms: Confusion matrices of the rooms.
        resamples: Number of resamples.
        level: Share of the resamples inside the interval.
        seed: Seed of the resampling.

    Returns:
        ``miou``, ``macc`` and ``oa``, each as (low, high), or ``None`` for fewer than two rooms.

    Convention:
        The interval shows how the score varies with the choice of rooms. It does not cover the variation between
        training seeds or between buildings. A resample without labels of a class excludes this class from its
        means, whatever is predicted; otherwise a single wrong point would decide whether the class counts as 0 or
        not at all. A class that is predicted but has no labels in any room has IoU 0 in every resample, as in the
        score.
    """
    count = len(rooms.names)
    if count < 2:
        return None
    counts = rooms.counts.numpy().astype(np.float64)
    num_classes = counts.shape[1]
    correct = np.diagonal(counts, axis1=1, axis2=2)
    labeled = counts.sum(axis=2)
    predicted = counts[:, :, :num_classes].sum(axis=1)
    only_predicted = ((labeled.sum(axis=0) == 0) & (predicted.sum(axis=0) > 0)).nonzero()[0]
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    correct, labeled, predicted = (drawn @ part for part in (correct, labeled, predicted))
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample without labels has no score
        iou = np.where(labeled > 0, correct / (labeled + predicted - correct), np.nan)
        iou[:, only_predicted] = np.where(labeled.any(axis=1), 0, np.nan)[:, None]
        scores = {
            "miou": np.nanmean(iou, axis=1),
            "macc": np.nanmean(correct / labeled, axis=1),
            "oa": correct.sum(axis=1) / labeled.sum(axis=1),
        }
        edges = (50 * (1 - level), 50 * (1 + level))
        intervals = {name: np.nanpercentile(values, edges).tolist() for name, values in scores.items()}
    return {name: (low, high) for name, (low, high) in intervals.items()}


def write_rooms(path: Path, rooms: RoomMatrices) -> None:
    """Write the confusion matrix of every room as ``.npz`` with ``names`` and ``counts``."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, names=np.array(rooms.names), counts=rooms.counts.numpy())


def read_rooms(path: Path) -> RoomMatrices:
    """Read the file of :func:`write_rooms`.

    Raises:
        UserError: The file is missing or of another kind.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            names, counts = tuple(file["names"].tolist()), torch.from_numpy(file["counts"])
        if counts.dtype != torch.int64 or counts.ndim != 3 or len(counts) != len(names):
            raise ValueError("wrong arrays")
    except Exception as error:  # zipfile, zlib and NumPy each raise their own
        raise UserError(
            f"{path}: not the confusion matrices of an evaluation ({reason(error)}). Evaluate again."
        ) from error
    return RoomMatrices(names=names, counts=counts)
