"""How much scores depend on the rooms that happen to be in the test: intervals over resampled rooms."""

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
    """The confusion matrix of every room of a split.

    Args:
        names: ``<split>/<scene>`` of each room.
        counts: As :class:`ConfusionMatrix`, ``(R, K, K + 1)``.
    """

    names: tuple[str, ...]
    counts: Tensor

    def total(self) -> ConfusionMatrix:
        """The matrix of all rooms together."""
        return ConfusionMatrix(self.counts.shape[1], self.counts.sum(0))

    def __add__(self, other: "RoomMatrices") -> "RoomMatrices":
        return RoomMatrices(names=self.names + other.names, counts=torch.cat([self.counts, other.counts]))


def bootstrap_intervals(
    rooms: RoomMatrices, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]] | None:
    """Percentile intervals of mIoU, mAcc and OA under resampling of rooms with replacement (Efron 1979).

    Every resample draws as many rooms as there are, sums their confusion matrices and scores the sum, as the
    score itself is made.

    Args:
        rooms: Matrices of the rooms.
        resamples: Number of resamples.
        level: Share of the resamples inside the interval.
        seed: Seeds the draws.

    Returns:
        ``miou``, ``macc`` and ``oa``, each (low, high); ``None`` for fewer than two rooms.

    Convention:
        It says how the score varies with the choice of rooms, not with the seed of training, nor between
        buildings. The means run over the classes of the score. Of a resample that happens to hold no label of
        a class, that class is left out, whatever is predicted: otherwise one wrong point would decide whether
        it counts as 0 or not at all. A class that no room has labels of, but that is predicted, has IoU 0 in
        every resample, as in the score.
    """
    count = len(rooms.names)
    if count < 2:
        return None
    counts = rooms.counts.numpy().astype(np.float64)
    num_classes = counts.shape[1]
    correct = np.diagonal(counts, axis1=1, axis2=2)
    labelled = counts.sum(axis=2)
    predicted = counts[:, :, :num_classes].sum(axis=1)
    only_predicted = ((labelled.sum(axis=0) == 0) & (predicted.sum(axis=0) > 0)).nonzero()[0]
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    correct, labelled, predicted = (drawn @ part for part in (correct, labelled, predicted))
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample without any label has no score
        iou = np.where(labelled > 0, correct / (labelled + predicted - correct), np.nan)
        iou[:, only_predicted] = np.where(labelled.any(axis=1), 0, np.nan)[:, None]
        scores = {
            "miou": np.nanmean(iou, axis=1),
            "macc": np.nanmean(correct / labelled, axis=1),
            "oa": correct.sum(axis=1) / labelled.sum(axis=1),
        }
        edges = (50 * (1 - level), 50 * (1 + level))
        intervals = {name: np.nanpercentile(values, edges).tolist() for name, values in scores.items()}
    return {name: (low, high) for name, (low, high) in intervals.items()}


def write_rooms(path: Path, rooms: RoomMatrices) -> None:
    """Write the confusion matrix of every room as ``.npz`` with ``names`` and ``counts``, in one step."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, names=np.array(rooms.names), counts=rooms.counts.numpy())


def read_rooms(path: Path) -> RoomMatrices:
    """Read :func:`write_rooms`.

    Raises:
        UserError: No such file, or another kind of file.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            names, counts = tuple(file["names"].tolist()), torch.from_numpy(file["counts"])
        if counts.dtype != torch.int64 or counts.ndim != 3 or len(counts) != len(names):
            raise ValueError("wrong arrays")
    except Exception as error:  # zipfile, zlib and numpy all have their own
        raise UserError(
            f"{path}: not the matrices of an evaluation ({reason(error)}); evaluate again"
        ) from error
    return RoomMatrices(names=names, counts=counts)
