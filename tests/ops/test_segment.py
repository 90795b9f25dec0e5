"""Reductions over runs of rows against loops, with and without torch-scatter."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from pcseg.ops.segment import segment_max, segment_mean, segment_softmax, segment_sum, torch_scatter_allowed

LENGTHS = torch.tensor([3, 0, 1, 7, 2, 0])


@pytest.fixture(params=[False, True], ids=["plain", "torch_scatter"])
def _accelerated(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param:
        pytest.importorskip("torch_scatter")
    with torch_scatter_allowed(request.param):
        yield


def rows(*shape: int) -> Tensor:
    return torch.randn(int(LENGTHS.sum()), *shape, dtype=torch.float64)


def looped(x: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.stack(
        [reduce(run) if len(run) else x.new_zeros(x.shape[1:]) for run in x.split(LENGTHS.tolist())]
    )


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3)])
@pytest.mark.usefixtures("_accelerated")
def test_equals_loop(shape: tuple[int, ...]) -> None:
    x = rows(*shape)
    torch.testing.assert_close(segment_sum(x, LENGTHS), looped(x, lambda run: run.sum(0)))
    torch.testing.assert_close(segment_mean(x, LENGTHS), looped(x, lambda run: run.mean(0)))
    assert torch.equal(segment_max(x, LENGTHS), looped(x, lambda run: run.amax(0)))
    expected = torch.cat([run.softmax(0) for run in x.split(LENGTHS.tolist())])
    torch.testing.assert_close(segment_softmax(x, LENGTHS), expected)


@pytest.mark.parametrize("function", [segment_sum, segment_mean, segment_max, segment_softmax])
@pytest.mark.usefixtures("_accelerated")
def test_gradient(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    x = rows(3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: function(x, LENGTHS), (x,))


@pytest.mark.usefixtures("_accelerated")
def test_ties_share_the_gradient() -> None:
    x = torch.tensor([2.0, 1.0, 2.0, 5.0], requires_grad=True)
    segment_max(x, torch.tensor([3, 1])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.5, 0, 0.5, 1]


@pytest.mark.usefixtures("_accelerated")
def test_softmax_of_large_logits_and_no_rows() -> None:
    softmax = segment_softmax(torch.tensor([1000.0, 1000.0, -1000.0]), torch.tensor([2, 1]))
    assert softmax.tolist() == [0.5, 0.5, 1]
    for function in (segment_sum, segment_mean, segment_max):
        assert function(torch.empty(0, 2), torch.tensor([0, 0])).tolist() == [[0, 0], [0, 0]]
