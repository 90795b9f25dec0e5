"""Our confusion matrix against the official ScanNet evaluation script: exact counts and printed IoUs."""

import numpy as np
import torch
from golden import Golden
from torch import Tensor

from pcseg.labels import IGNORE_INDEX
from pcseg.metrics.confusion import ConfusionMatrix


def check_scannet_eval(golden: Golden) -> None:
    valid = golden.meta["valid_class_ids"]
    matrix = ConfusionMatrix(len(valid))
    for scan in range(int(golden["input.num_scans"])):
        pred, target = (as_labels(golden[f"input.{key}.{scan}"], valid) for key in ("pred", "gt"))
        matrix.update(pred, target)
    if (
        golden.meta["return_code"] != 0
    ):  # the script stops at a class without a score; we say that it has none
        assert matrix.absent.any()
        assert matrix.iou()[matrix.absent].isnan().all()
        return
    union = matrix.labelled + matrix.predicted - matrix.correct
    assert torch.equal(matrix.correct, golden.tensor("output.tp"))
    assert torch.equal(union, golden.tensor("output.denominator"))
    torch.testing.assert_close(matrix.iou(), golden.tensor("output.iou_printed"), atol=5.1e-4, rtol=0)


def as_labels(ids: np.ndarray, valid: list[int]) -> Tensor:
    """The place of each id among the valid ones, ``IGNORE_INDEX`` for all others."""
    table = np.full(max(*valid, int(ids.max())) + 1, IGNORE_INDEX)
    table[valid] = np.arange(len(valid))
    return torch.from_numpy(table[ids])


CHECKS = {"scannet_eval": check_scannet_eval}
