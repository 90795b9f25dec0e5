"""The channel context module (CCM) of CTNet: one vector a cloud gates channels and describes classes."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pcseg.nn.norms import BatchNorm, NormFactory
from pcseg.ops.clouds import cloud_mean, spread


class ChannelContextOutput(NamedTuple):
    """What the channel context module hands on to the spatial one, and to the loss.

    ``x`` (N, C) gated features, ``class_prob`` (B, K) class probabilities of each cloud, ``class_features``
    (B, K, C) one token a class and cloud.
    """

    x: Tensor
    class_prob: Tensor
    class_features: Tensor


class ChannelGate(nn.Module):
    r"""Channel vector of a cloud, in (0, 1): convolutions of several lengths over its mean feature.

    .. math:: v = \sigma\Bigl(\sum_j w_j \, \mathrm{conv}_{k_j}(g)\Bigr), \qquad g = \tfrac1n \sum_i x_i

    Args:
        kernel_sizes: Odd lengths :math:`k_j` of the convolutions, which run over the channels.

    Convention:
        Channels are neighbours here: the gate depends on their order. All maps are linear without bias:
        together they are one convolution of the greatest length.
    """

    def __init__(self, *, kernel_sizes: Sequence[int] = (9, 17, 33, 65)) -> None:
        super().__init__()
        convs = [nn.Conv1d(1, 1, size, padding=size // 2, bias=False) for size in kernel_sizes]
        self.convs = nn.ModuleList(convs)
        self.mix = nn.Linear(len(kernel_sizes), 1, bias=False)

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        """Vectors ``(B, C)`` of tokens ``x`` ``(N, C)`` in the clouds ``ptr`` ``(B+1,)``."""
        mean = cloud_mean(x, ptr)[:, None]
        responses = torch.cat([conv(mean) for conv in self.convs], 1)
        return self.mix(responses.mT).squeeze(-1).sigmoid()


class ChannelContext(nn.Module):
    r"""Channel context module (Li et al., *CTNet: Context-based Tandem Network*, TPAMI 2022).

    .. math::
        v = \mathrm{gate}(x), \qquad x^c_i = v \odot x_i, \qquad
        p = \mathrm{softmax}(\mathrm{BN}(W v + b)), \qquad M = p\, v^\top

    Args:
        channels: C.
        num_classes: K.
        kernel_sizes: Lengths of the channel convolutions.
        class_norm: Norm of the class scores; its statistics are over the B clouds of a batch.

    Convention:
        The classes are told from the gate itself, not from gated features. M has rank one: classes differ by
        their probability alone. The published ReLU on M does nothing and is left out.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        kernel_sizes: Sequence[int] = (9, 17, 33, 65),
        class_norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        self.gate = ChannelGate(kernel_sizes=kernel_sizes)
        self.classify = nn.Linear(channels, num_classes)
        self.norm = class_norm(num_classes)

    def forward(self, x: Tensor, ptr: Tensor) -> ChannelContextOutput:
        """Context of tokens ``x`` ``(N, C)`` in the clouds ``ptr`` ``(B+1,)``."""
        vector = self.gate(x, ptr)
        class_prob = self.norm(self.classify(vector)).softmax(-1)
        class_features = class_prob[:, :, None] * vector[:, None]
        return ChannelContextOutput(x * spread(vector, ptr), class_prob, class_features)
