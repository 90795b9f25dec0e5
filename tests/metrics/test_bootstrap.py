import numpy as np
import pytest
import torch

from pcseg.metrics.bootstrap import bootstrap_intervals
from pcseg.metrics.confusion import ConfusionMatrix


def rooms(number: int, spread: float = 0.3) -> torch.Tensor:
    rng = np.random.default_rng(3)
    counts = []
    for _ in range(number):
        target = rng.integers(0, 3, 400)
        wrong = rng.random(400) < rng.uniform(0.3 - spread, 0.3 + spread)
        matrix = ConfusionMatrix(4)
        matrix.update(torch.from_numpy(np.where(wrong, (target + 1) % 3, target)), torch.from_numpy(target))
        counts.append(matrix.counts)
    return torch.stack(counts)


def test_intervals_equal_a_loop_over_resamples() -> None:
    """Use the same resamples, each scored by its confusion matrix; the fourth class is absent."""
    some = rooms(7)
    found = bootstrap_intervals(some, resamples=200, seed=5)
    assert found is not None
    drawn = np.random.default_rng(5).multinomial(7, np.full(7, 1 / 7), size=200)
    scores = []
    for weights in drawn:
        matrix = ConfusionMatrix(4, (some * torch.from_numpy(weights)[:, None, None]).sum(0))
        scores.append((matrix.mean_iou(), matrix.mean_accuracy(), matrix.overall_accuracy()))
    expected = np.percentile(scores, (2.5, 97.5), axis=0).T
    for name, interval in zip(("miou", "macc", "oa"), expected):
        assert found[name] == pytest.approx(interval)


def test_a_class_that_occurs_in_few_rooms() -> None:
    """Rooms without labels of class 2 predict it at one point; class 3 is predicted but has no labels."""
    counts = torch.zeros(6, 4, 5, dtype=torch.int64)
    counts[:, 0, 0], counts[:, 1, 1], counts[:, 1, 2], counts[0, 2, 2], counts[5, 0, 3] = 90, 100, 1, 50, 10
    found = bootstrap_intervals(counts, resamples=300, seed=2)
    assert found is not None
    scores, times_without = [], 0
    for weights in np.random.default_rng(2).multinomial(6, np.full(6, 1 / 6), size=300):
        matrix = ConfusionMatrix(4, (counts * torch.from_numpy(weights)[:, None, None]).sum(0))
        iou = matrix.iou()
        without = int(matrix.labeled[2]) == 0
        times_without += without
        scores.append(float(iou[0] + iou[1] + (0 if without else iou[2])) / (3 if without else 4))
    assert 50 < times_without < 250, "both kinds of resamples occur"
    assert found["miou"] == pytest.approx(np.percentile(scores, (2.5, 97.5)).tolist())
    assert found["miou"][0] < ConfusionMatrix(4, counts.sum(0)).mean_iou() < found["miou"][1]
    # without class 3, nearly all points are correct in every resample, with or without class 2
    counts[5, 0, 3] = 0
    nearly = bootstrap_intervals(counts)
    assert nearly is not None
    assert nearly["miou"][0] > 0.93


def test_intervals_contain_the_score_and_shrink_with_similar_rooms() -> None:
    wide, narrow = bootstrap_intervals(rooms(20)), bootstrap_intervals(rooms(20, spread=0.01))
    assert wide is not None
    assert narrow is not None
    assert wide["miou"][0] < ConfusionMatrix(4, rooms(20).sum(0)).mean_iou() < wide["miou"][1]
    assert narrow["oa"][1] - narrow["oa"][0] < (wide["oa"][1] - wide["oa"][0]) / 2


def test_one_room_has_no_interval() -> None:
    assert bootstrap_intervals(rooms(1)) is None
