import numpy as np
import pytest
import torch

from pcseg.metrics.boundary import boundary_counts
from pcseg.metrics.confusion import ConfusionMatrix


def near(pos: np.ndarray, label: np.ndarray, width: float) -> np.ndarray:
    """Return which points have a point of another class in their cell or the 26 cells around, by pairs."""
    cells = np.floor(pos.astype(np.float64) / width).astype(int)
    touching = (np.abs(cells[:, None] - cells[None]) <= 1).all(axis=2)
    other = (label[None] != label[:, None]) & (label[None] >= 0)
    return (touching & other).any(axis=1) & (label >= 0)


@pytest.mark.parametrize("width", [0.1, 0.2, 0.7])
def test_counts_equal_a_loop_over_pairs(width: float) -> None:
    rng = np.random.default_rng(0)
    pos = rng.uniform(-1, 1, (500, 3)).astype(np.float32)
    label = np.where(pos[:, 0] > 0, 1, 0) + 2 * (pos[:, 1] > 0.3)
    pred = np.where(pos[:, 0] > 0.1, 1, 0) + 2 * (pos[:, 1] > 0.2)
    label[rng.random(500) < 0.1] = -1
    pred[rng.random(500) < 0.05] = -1
    pred[rng.random(500) < 0.05] = 4
    counts = boundary_counts(pos, pred, label, num_classes=6, width=width)
    known = label >= 0
    seen = np.where(known, pred, -1)
    near_label, near_pred = near(pos[known], label[known], width), near(pos[known], seen[known], width)
    for c in range(6):
        in_label = near_label & (label[known] == c)
        in_pred = near_pred & (seen[known] == c)
        assert counts[0, c] == (in_label & in_pred).sum()
        assert counts[1, c] == (in_label | in_pred).sum()
    assert (counts[0] / counts[1])[5].isnan()
    assert counts[1].sum() > 0


def test_wide_boundaries_give_the_iou() -> None:
    rng = np.random.default_rng(1)
    pos = rng.uniform(0, 1, (300, 3))
    label, pred = rng.integers(0, 3, (2, 300))
    matrix = ConfusionMatrix(3)
    matrix.update(torch.from_numpy(pred), torch.from_numpy(label))
    counts = boundary_counts(pos, pred, label, num_classes=3, width=10)
    torch.testing.assert_close(counts[0].double() / counts[1], matrix.iou())


def test_large_surfaces_do_not_hide_a_shifted_boundary() -> None:
    x = np.linspace(0, 10, 10_001)
    pos = np.stack([x, 0 * x, 0 * x], axis=1)
    label, pred = (x > 5).astype(int), (x > 5.05).astype(int)
    matrix = ConfusionMatrix(2)
    matrix.update(torch.from_numpy(pred), torch.from_numpy(label))
    counts = boundary_counts(pos, pred, label, num_classes=2, width=0.05)
    assert matrix.mean_iou() > 0.98
    assert (counts[0] / counts[1]).mean() < 0.7
    perfect = boundary_counts(pos, label, label, num_classes=2, width=0.05)
    assert torch.equal(perfect[0], perfect[1])


@pytest.mark.parametrize("num_points", [0, 1])
def test_tiny_scenes(num_points: int) -> None:
    nothing = np.zeros(num_points, dtype=int)
    counts = boundary_counts(np.zeros((num_points, 3)), nothing, nothing, num_classes=2, width=0.05)
    assert counts.tolist() == [[0, 0], [0, 0]]
