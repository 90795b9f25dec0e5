"""Batch norm of tokens: PyTorch's, and what it adds."""

import pytest
import torch
from torch import nn

from pcseg.nn.norms import BatchNorm, BiasedBatchNorm, ChannelDropout, InPlaceABN, PaddleBatchNorm


def pair(kind: type[BatchNorm] = BatchNorm) -> tuple[BatchNorm, nn.BatchNorm1d]:
    ours, theirs = kind(5), nn.BatchNorm1d(5)
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("shape", [(7, 5), (3, 5, 4)])
def test_is_batch_norm(shape: tuple[int, ...]) -> None:
    ours, theirs = pair()
    for training in (True, False):
        ours.train(training), theirs.train(training)
        x = torch.randn(shape)
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_biased_variance_is_that_of_the_batch() -> None:
    ours, theirs = pair(BiasedBatchNorm)
    x = torch.randn(4, 5)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, 0.9 + 0.1 * x.var(0, correction=0))


def test_absolute_gain() -> None:
    ours, theirs = pair(InPlaceABN)
    theirs.weight.data = theirs.weight.data.abs() + 1e-5
    x = torch.randn(6, 5)
    torch.testing.assert_close(ours(x), theirs(x))


def test_one_value_a_channel_takes_the_running_statistics() -> None:
    ours, theirs = pair()
    ours.running_mean.fill_(0.5), theirs.running_mean.fill_(0.5)
    x = torch.randn(1, 5)
    torch.testing.assert_close(ours(x), theirs.eval()(x))
    assert ours.running_mean.eq(0.5).all()


def test_one_value_a_channel_may_pass_as_it_is() -> None:
    ours, theirs = pair(PaddleBatchNorm)
    x = torch.randn(1, 5)
    assert torch.equal(ours(x), x)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_no_tokens_at_all() -> None:
    assert BatchNorm(5)(torch.empty(0, 5)).shape == (0, 5)


def test_channel_dropout_takes_channels_of_a_cloud() -> None:
    dropout = ChannelDropout(0.5)
    out = dropout(torch.ones(30, 64), torch.tensor([0, 10, 10, 30]))
    for cloud in (out[:10], out[10:]):
        assert (cloud == cloud[0]).all()
    assert set(out.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(out[0], out[10])
    assert torch.equal(dropout.eval()(out, torch.tensor([0, 30])), out)


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 5, 7), (9, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_whatever_the_strides_of_what_comes_back(shape: tuple[int, ...], training: bool) -> None:
    """PyTorch's batch norm on the CPU takes some strides for others at batch size one (2.14)."""
    norm = BatchNorm(5).double().train(training)
    nn.init.normal_(norm.weight)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    others = [axis for axis in range(x.ndim) if axis != 1]

    def by_formula(x: torch.Tensor) -> torch.Tensor:
        view = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
        variance, mean = torch.var_mean(x, others, correction=0, keepdim=True)
        if not training:
            variance, mean = torch.ones_like(variance), torch.zeros_like(mean)
        return (x - mean) * (variance + norm.eps).rsqrt() * norm.weight.view(view)

    for function in (lambda y: y.mean(1).square().sum(), lambda y: y.mT.contiguous().cos().cumsum(0).sum()):
        (expected,) = torch.autograd.grad(function(by_formula(x)), x)
        (found,) = torch.autograd.grad(function(norm(x)), x)
        torch.testing.assert_close(found, expected)
