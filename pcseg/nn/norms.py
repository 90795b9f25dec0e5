"""Batch norm and dropout of tokens, and the usual sequence of a linear map, a norm and an activation."""

from collections import OrderedDict
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.nn.sites import Sites
from pcseg.ops.clouds import spread

NormFactory = Callable[[int], nn.Module]
"""Takes the number of channels."""


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of tokens ``(N, C)`` or of tables ``(B, C, D)``, over all tokens of the batch together.

    Args:
        channels: C.
        biased_variance: Move the running variance by the biased variance of the batch, as Paddle and
            PyTorch-Encoding do; PyTorch takes the unbiased one.
        absolute_gain: Scale by ``|weight| + eps``, as InPlaceABN does.
        skip_single: Return a batch with one value a channel as it is while training, as Paddle does.

    Convention:
        With one value a channel there is no variance (one cloud in a batch, one token in a cloud): then the
        running statistics normalise it, and stay as they are. PyTorch raises.
    """

    def __init__(
        self,
        channels: int,
        *,
        biased_variance: bool = False,
        absolute_gain: bool = False,
        skip_single: bool = False,
    ) -> None:
        super().__init__(channels)
        self.biased_variance = biased_variance
        self.absolute_gain = absolute_gain
        self.skip_single = skip_single

    @property
    def gain(self) -> Tensor:
        return self.weight.abs() + self.eps if self.absolute_gain else self.weight

    def forward(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        count = x.numel() // self.num_features
        if count == 0 or (count == 1 and self.training and self.skip_single):
            return x
        by_batch = self.training and count > 1
        if not (by_batch and self.biased_variance):
            statistics = (self.running_mean, self.running_var)
            return F.batch_norm(x, *statistics, self.gain, self.bias, by_batch, self.momentum, self.eps)
        mean, variance = self.running_mean.clone(), self.running_var.clone()
        y = F.batch_norm(x, mean, variance, self.gain, self.bias, True, self.momentum, self.eps)
        self.running_mean.copy_(mean)
        # what the batch adds to the running variance shrinks by (count - 1) / count
        self.running_var.mul_(1 - self.momentum).lerp_(variance, 1 - 1 / count)
        return y


class ChannelDropout(nn.Module):
    """Zeroes whole channels of a cloud with probability ``rate`` while training: Dropout2d for tokens."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        ones = x.new_ones(len(ptr) - 1, x.shape[1])
        return x * spread(F.dropout(ones, self.rate), ptr)

    def extra_repr(self) -> str:
        return str(self.rate)


class ConvNorm(nn.Module):
    """A local convolution, its norm and its activation."""

    def __init__(self, conv: nn.Module, norm: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.activation = conv, norm, activation

    def forward(self, x: Tensor, sites: Sites) -> Tensor:
        return self.activation(self.norm(self.conv(x, sites)))


def linear_norm(
    in_channels: int, out_channels: int, *, bias: bool, norm: NormFactory = BatchNorm
) -> nn.Sequential:
    """A linear map of each token (a 1×1 convolution), norm and ReLU."""
    layers = {
        "linear": nn.Linear(in_channels, out_channels, bias=bias),
        "norm": norm(out_channels),
        "activation": nn.ReLU(),
    }
    return nn.Sequential(OrderedDict(layers))
