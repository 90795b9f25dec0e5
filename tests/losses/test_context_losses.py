"""Targets and losses that belong to context heads, on labels with ignored rows and absent classes."""

import math

import pytest
import torch
import torch.nn.functional as F

from pcseg.losses.category_consistent import category_consistent_loss, distance_cost
from pcseg.losses.cloud_classes import (
    class_counts,
    class_frequency,
    class_frequency_loss,
    class_presence,
    presence_loss,
)
from pcseg.losses.cross_entropy import cross_entropy
from pcseg.losses.ohem import hard_labels, hard_threshold

Y = torch.tensor([0, 0, 2, -1, 7, 1, 1, 1, -1, -1])
PTR = torch.tensor([0, 5, 5, 8, 10])


def test_counts_drop_ignored_and_unknown_labels() -> None:
    assert class_counts(Y, PTR, 3).tolist() == [[2, 0, 1], [0, 0, 0], [0, 3, 0], [0, 0, 0]]
    assert class_presence(Y, PTR, 3).tolist() == [
        [True, False, True],
        [False] * 3,
        [False, True, False],
        [False] * 3,
    ]
    assert class_counts(Y[:0], torch.tensor([0, 0]), 3).tolist() == [[0, 0, 0]]


def test_one_class_only() -> None:
    """The published histogram counts everything here."""
    assert class_presence(torch.tensor([-1, -1, 0]), torch.tensor([0, 2, 3]), 1).tolist() == [[False], [True]]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((5, 3, 0, 2), (0.5, 0.3, 0, 0.2)),
        ((5, 3, 2), (0.75, 0.25, 0)),
        ((4, 4, 4), (1 / 3, 1 / 3, 1 / 3)),  # 0/0 in the published form
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (1, 0, 0)),
    ],
)
def test_class_frequency(counts: tuple[int, ...], expected: tuple[float, ...]) -> None:
    y = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    found = class_frequency(y, torch.tensor([0, len(y)]), len(counts))
    assert found[0].tolist() == pytest.approx(expected)


def test_class_frequency_loss_golden_numbers() -> None:
    frequency = torch.tensor([[0.5, 0.3, 0.0, 0.2]])
    assert class_frequency_loss(torch.tensor([[0.4, 0.3, 0.2, 0.1]]), frequency) == pytest.approx(0.5230929)
    assert class_frequency_loss(frequency, frequency) == pytest.approx(0.4511035)


def test_class_frequency_loss_survives_certainty_and_autocast() -> None:
    prob = torch.tensor([[0.0, 1.0]], requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = class_frequency_loss(prob, torch.tensor([[1.0, 0.0]]))
    loss.backward()
    assert loss.isfinite()
    assert prob.grad is not None
    assert prob.grad.isfinite().all()


def test_class_frequency_loss_of_nan_is_nan() -> None:
    """A step without a number is skipped by training, which an error would end."""
    prob = torch.tensor([[torch.nan, 0.5], [0.2, 0.8]], requires_grad=True)
    loss = class_frequency_loss(prob, torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    loss.backward()
    assert loss.isnan()


def test_presence_loss_is_a_plain_mean() -> None:
    logits, presence = torch.randn(2, 3), torch.tensor([[True, False, True], [False, True, False]])
    terms = F.softplus(torch.where(presence, -logits, logits))
    torch.testing.assert_close(presence_loss(logits, presence), terms.mean())


def test_distance_cost() -> None:
    distances = torch.tensor([0.3, 1.0, 1.5, 2.0])
    assert distance_cost(distances).tolist() == pytest.approx([0, 0.25, 1, 1.5])


def test_category_consistent_loss_by_hand() -> None:
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [9.0, 9.0]], requires_grad=True)
    y = torch.tensor([0, 0, 1, -1])
    # means (1, 0) and (0, 2): distances 1, 1 | 0; means sqrt(5) apart; norms 1 and 2
    expected = 0.25 / 2 + (3 - math.sqrt(5)) ** 2 + 0.001 * 1.5
    loss = category_consistent_loss(x, y)
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    loss.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert not x.grad[3].any()


def test_category_consistent_loss_with_one_class_and_with_none() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    assert category_consistent_loss(x, torch.tensor([1, 1, -1, -1])).isfinite()
    loss = category_consistent_loss(x, torch.full((4,), -1))
    loss.backward()
    assert loss == 0


def test_category_consistent_gradients() -> None:
    x = 2 * torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 0, 0, 2, 2, 2, 3, 3, -1])
    assert torch.autograd.gradcheck(lambda x: category_consistent_loss(x, y), x)


def test_hard_threshold() -> None:
    prob = torch.tensor([0.1, 0.9, 0.5, 0.3])
    assert hard_threshold(prob, threshold=0.7, min_kept=1) == pytest.approx(0.7)
    assert hard_threshold(prob, threshold=0.2, min_kept=3) == pytest.approx(0.5)
    assert hard_threshold(prob, threshold=0.2, min_kept=0) == pytest.approx(0.2)
    assert hard_threshold(prob, threshold=0.2, min_kept=4) == 1


def ohem_cross_entropy(
    logits: torch.Tensor, y: torch.Tensor, *, threshold: float = 0.7, min_kept: int
) -> torch.Tensor:
    return cross_entropy(logits, hard_labels(logits, y, threshold=threshold, min_kept=min_kept))


def test_ohem_keeps_the_hardest() -> None:
    logits = torch.tensor([[4.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 0.0]], requires_grad=True)
    y = torch.tensor([0, 0, 0, -1])
    terms = F.cross_entropy(logits[:3], y[:3], reduction="none")
    torch.testing.assert_close(ohem_cross_entropy(logits, y, threshold=0.1, min_kept=2), terms[1:].mean())
    torch.testing.assert_close(ohem_cross_entropy(logits, y, threshold=0.1, min_kept=1), terms[2])
    torch.testing.assert_close(ohem_cross_entropy(logits, y, threshold=0.1, min_kept=9), terms.mean())


def test_ohem_without_labels_is_zero() -> None:
    logits = torch.randn(3, 2, requires_grad=True)
    loss = ohem_cross_entropy(logits, torch.full((3,), -1), min_kept=2)
    loss.backward()
    assert loss == 0
