import math

import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from pcseg.metrics.confusion import ConfusionMatrix, confusion


def labels(num_classes: int, n: int = 500) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randint(0, num_classes, (n,)), torch.randint(-1, num_classes, (n,))


def test_counts_of_a_small_example() -> None:
    counts = confusion(torch.tensor([0, 1, 1, 0, 7, -1]), torch.tensor([0, 0, 1, -1, 1, 1]), 2)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 2]]


@pytest.mark.parametrize("top", [6, 5, 4])
def test_scores_agree_with_torchmetrics(top: int) -> None:
    """With ``top`` below 6 some classes are neither labeled nor predicted."""
    pred, target = labels(top)
    matrix = ConfusionMatrix(6)
    for part in torch.arange(500).split(130):
        matrix.update(pred[part], target[part])
    mean = MulticlassJaccardIndex(6, average="macro", ignore_index=-1)(pred, target)
    each = MulticlassJaccardIndex(6, average="none", ignore_index=-1)(pred, target)
    accuracy = MulticlassAccuracy(6, average="macro", ignore_index=-1)(pred, target)
    overall = MulticlassAccuracy(6, average="micro", ignore_index=-1)(pred, target)
    assert matrix.mean_iou() == pytest.approx(float(mean), abs=1e-6)
    assert matrix.mean_accuracy() == pytest.approx(float(accuracy), abs=1e-6)
    assert matrix.overall_accuracy() == pytest.approx(float(overall), abs=1e-6)
    torch.testing.assert_close(matrix.iou().nan_to_num(0).float(), each)
    assert matrix.absent.tolist() == [label >= top for label in range(6)]


def test_both_conventions_about_absent_classes() -> None:
    matrix = ConfusionMatrix(4)
    matrix.update(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 0]))
    # IoU: 1/3, 1/2, 0 (predicted, never labeled), none; accuracy: 1/2, 1/2, none, none
    assert matrix.mean_iou() == pytest.approx((1 / 3 + 1 / 2) / 3)
    assert matrix.mean_iou(absent="zero") == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert matrix.mean_accuracy() == pytest.approx(1 / 2)
    assert matrix.mean_accuracy(absent="zero") == pytest.approx(1 / 4)
    assert matrix.absent.tolist() == [False, False, False, True]


@pytest.mark.parametrize("target", [[], [-1, -1]])
def test_without_labels_every_score_is_nan(target: list[int]) -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(torch.zeros(len(target), dtype=torch.int64), torch.tensor(target, dtype=torch.int64))
    scores = [
        matrix.mean_iou(),
        matrix.mean_iou(absent="zero"),
        matrix.mean_accuracy(),
        matrix.overall_accuracy(),
    ]
    assert all(math.isnan(score) for score in scores)


def test_int16_labels_of_scenes_do_not_overflow() -> None:
    matrix = ConfusionMatrix(300)
    matrix.update(torch.tensor([299], dtype=torch.int16), torch.tensor([299], dtype=torch.int16))
    assert matrix.correct[299] == 1


def test_a_target_beyond_the_classes_is_an_error() -> None:
    with pytest.raises(ValueError, match="targets reach 3"):
        confusion(torch.tensor([0]), torch.tensor([3]), 3)


def test_sums_and_resets() -> None:
    pred, target = labels(4)
    first, second, whole = ConfusionMatrix(4), ConfusionMatrix(4), ConfusionMatrix(4)
    first.update(pred[:200], target[:200])
    second.update(pred[200:], target[200:])
    whole.update(pred, target)
    assert torch.equal((first + second).counts, whole.counts)
    assert torch.equal(first.summed_over_processes().counts, first.counts)
    first.reset()
    assert not first.counts.any()
