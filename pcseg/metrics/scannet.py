"""The scores of ScanNet's ``evaluate_semantic_label.py``, and its result file, in Python 3."""

from collections.abc import Sequence

import numpy as np
import torch

from pcseg.labels import IGNORE_INDEX
from pcseg.metrics.confusion import ConfusionMatrix


def matrix_of_ids(
    pred: Sequence[np.ndarray], target: Sequence[np.ndarray], valid: Sequence[int]
) -> ConfusionMatrix:
    """Confusion matrix of scans that are given as identifiers, as the label files of the benchmark have them.

    Args:
        pred: Predicted identifiers of each scan, ``(N_scan,)``.
        target: True identifiers of each scan, ``(N_scan,)``.
        valid: Identifiers of the classes, in order.

    Convention:
        A point whose true identifier is not valid is skipped. A prediction that is not valid misses the true
        class and is no class's false positive.
    """
    matrix = ConfusionMatrix(len(valid))
    for ids in zip(pred, target, strict=True):
        matrix.update(*(torch.from_numpy(places(each, valid)) for each in ids))
    return matrix


def places(ids: np.ndarray, valid: Sequence[int]) -> np.ndarray:
    """The place of each identifier among the valid ones, int64; ``IGNORE_INDEX`` for all others."""
    order = np.argsort(valid)
    ordered = np.asarray(valid)[order]
    found = np.minimum(np.searchsorted(ordered, ids), len(ordered) - 1)
    return np.where(ordered[found] == ids, order[found], IGNORE_INDEX)


def result_file(matrix: ConfusionMatrix, names: Sequence[str], ids: Sequence[int]) -> str:
    """The result file of the official script, byte by byte; ``nan`` where that script stops: at absent classes."""
    heads = [f"{name:<14s}({number:<2d})" for name, number in zip(names, ids)]
    lines = ["iou scores"]
    lines += [f"{head}: {iou:>5.3f}" for head, iou in zip(heads, matrix.iou().tolist())]
    lines += ["", "confusion matrix", "\t\t\t" + "".join(f"{number:<8d}" for number in ids)]
    counts = matrix.counts[:, : matrix.num_classes].tolist()
    lines += [head + "".join(f"\t{count:>5.3f}" for count in row) for head, row in zip(heads, counts)]
    return "\n".join(lines) + "\n"


def printed_table(matrix: ConfusionMatrix, names: Sequence[str]) -> str:
    """The table that the official script prints: IoU, true positives and union of each class."""
    union = matrix.labeled + matrix.predicted - matrix.correct
    columns = matrix.iou().tolist(), matrix.correct.tolist(), union.tolist()
    rows = [f"{name:<14s}: {iou:>5.3f}   ({n:>6d}/{m:<6d})" for name, iou, n, m in zip(names, *columns)]
    return "\n".join(["classes          IoU", "-" * 28, *rows]) + "\n"
