import pytest
import torch
from torch import Tensor

from pcseg.losses.lovasz import lovasz_softmax


def by_the_paper(logits: Tensor, target: Tensor) -> Tensor:
    """Eq. 8 and Algorithm 1 one class and one row at a time."""
    probability = logits.softmax(1)
    losses = []
    for label in target[target >= 0].unique().tolist():
        rows = [row for row in range(len(target)) if target[row] >= 0]
        error = {
            row: 1 - probability[row, label] if target[row] == label else probability[row, label]
            for row in rows
        }
        wrong: set[int] = set()
        loss, before = torch.zeros((), dtype=logits.dtype), 0.0
        for row in sorted(rows, key=lambda row: -float(error[row].detach())):
            wrong.add(row)
            truth = {row for row in rows if target[row] == label}
            jaccard = 1 - len(truth - wrong) / len(truth | wrong)
            loss, before = loss + error[row] * (jaccard - before), jaccard
        losses.append(loss)
    return torch.stack(losses).mean()


def case(n: int = 40, num_classes: int = 5) -> tuple[Tensor, Tensor]:
    logits = torch.randn(n, num_classes, dtype=torch.float64, requires_grad=True)
    target = torch.randint(-1, num_classes - 1, (n,))  # the last class is never labeled
    return logits, target


def test_equals_the_definition_with_its_gradient() -> None:
    logits, target = case()
    (expected,) = torch.autograd.grad(by_the_paper(logits, target), logits)
    (gradient,) = torch.autograd.grad(lovasz_softmax(logits, target), logits)
    torch.testing.assert_close(lovasz_softmax(logits, target), by_the_paper(logits, target))
    torch.testing.assert_close(gradient, expected)


def test_gradcheck() -> None:
    logits, target = case(12)
    assert torch.autograd.gradcheck(lambda x: lovasz_softmax(x, target), logits)


def test_of_certain_predictions_is_one_minus_the_mean_iou() -> None:
    target = torch.tensor([0, 0, 0, 1, 1, 2, -1])
    pred = torch.tensor([0, 0, 1, 1, 1, 1, 2])
    logits = 1e4 * torch.nn.functional.one_hot(pred, 4).double()
    ious = torch.tensor([2 / 3, 2 / 4, 0.0], dtype=torch.float64)
    torch.testing.assert_close(lovasz_softmax(logits, target), 1 - ious.mean())


def test_ignored_rows_change_nothing() -> None:
    logits, target = case()
    kept = target >= 0
    torch.testing.assert_close(lovasz_softmax(logits, target), lovasz_softmax(logits[kept], target[kept]))


@pytest.mark.parametrize("n", [0, 7])
def test_without_labels_it_is_zero_with_zero_gradient(n: int) -> None:
    logits = torch.randn(n, 4, requires_grad=True)
    loss = lovasz_softmax(logits, torch.full((n,), -1))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_half_precision_is_computed_in_float32() -> None:
    logits = torch.randn(50, 6).bfloat16()
    target = torch.randint(0, 6, (50,))
    loss = lovasz_softmax(logits, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, lovasz_softmax(logits.float(), target))
