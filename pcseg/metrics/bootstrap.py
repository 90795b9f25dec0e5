"""Confidence intervals of scores by resampling rooms."""

import warnings

import numpy as np
from torch import Tensor


def bootstrap_intervals(
    rooms: Tensor, *, resamples: int = 2000, seed: int = 0
) -> dict[str, tuple[float, float]] | None:
    """Return 95 % percentile bootstrap intervals of mIoU, mAcc and OA over rooms (Efron 1979).

    Each resample draws as many rooms as there are, with replacement, sums their confusion matrices and computes
    the score of the sum.

    Args:
        rooms: Confusion matrices of the rooms as in :func:`~pcseg.metrics.confusion.confusion`, ``(R, K, K + 1)``.

    Returns:
        ``miou``, ``macc`` and ``oa``, each as (low, high), or ``None`` for fewer than two rooms.

    Convention:
        The interval shows how the score varies with the choice of rooms. It does not cover the variation between
        training seeds or between buildings. A resample without labels of a class excludes this class from its
        means, whatever is predicted; otherwise a single wrong point would decide whether the class counts as 0 or
        not at all. A class that is predicted but has no labels in any room has IoU 0 in every resample, as in the
        score.
    """
    count, num_classes, _ = rooms.shape
    if count < 2:
        return None
    counts = rooms.numpy().astype(np.float64)
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
        intervals = {name: np.nanpercentile(values, (2.5, 97.5)).tolist() for name, values in scores.items()}
    return {name: (low, high) for name, (low, high) in intervals.items()}
