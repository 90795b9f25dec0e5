import pytest
import torch
import torch.nn.functional as F

from pcseg.losses.cross_entropy import WeightScheme, class_weights_from_counts, cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", [None, torch.tensor([0.2, 1.0, 3.0, 0.0])])
def test_equals_pytorch_where_there_are_labels(smoothing: float, weight: torch.Tensor | None) -> None:
    logits, target = torch.randn(30, 4), torch.randint(-1, 4, (30,))
    expected = F.cross_entropy(logits, target, weight, ignore_index=-1, label_smoothing=smoothing)
    loss = cross_entropy(logits, target, weight=weight, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("n", [0, 5])
@pytest.mark.parametrize("weight", [None, torch.ones(3)])
def test_without_labels_it_is_zero_with_zero_gradient(n: int, weight: torch.Tensor | None) -> None:
    logits = torch.randn(n, 3, requires_grad=True)
    loss = cross_entropy(logits, torch.full((n,), -1), weight=weight, label_smoothing=0.1)
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_only_rows_of_a_class_without_weight_are_finite() -> None:
    loss = cross_entropy(torch.randn(3, 2), torch.ones(3, dtype=torch.int64), weight=torch.tensor([1.0, 0.0]))
    assert loss == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("weight", [None, torch.tensor([0.3, 1.0, 3.0, 0.7])])
def test_half_precision_sums_many_rows(dtype: torch.dtype, weight: torch.Tensor | None) -> None:
    logits, target = torch.randn(70_000, 4).to(dtype), torch.randint(-1, 4, (70_000,))
    expected = cross_entropy(logits.double(), target, weight=weight)
    torch.testing.assert_close(cross_entropy(logits, target, weight=weight).double(), expected)


@pytest.mark.parametrize("scheme", ["inverse_sqrt", "inverse"])
def test_class_weights_have_mean_one_and_favor_rare_classes(scheme: WeightScheme) -> None:
    weights = class_weights_from_counts(torch.tensor([900, 100, 0, 9]), scheme)
    assert weights[3] > weights[1] > weights[0] > weights[2] == 0
    torch.testing.assert_close(weights[[0, 1, 3]].mean(), torch.tensor(1.0))


def test_inverse_sqrt_weights_by_hand() -> None:
    weights = class_weights_from_counts(torch.tensor([900, 100]), "inverse_sqrt")
    torch.testing.assert_close(weights, torch.tensor([0.5, 1.5]))
