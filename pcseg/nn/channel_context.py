"""The channel context module (CCM) of CTNet: one vector per cloud gates the channels and describes the classes."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pcseg.nn.norms import BatchNorm, NormFactory
from pcseg.ops.clouds import cloud_mean, cloud_ptr, spread


class ChannelContextOutput(NamedTuple):
    """Output of :class:`ChannelContext`: ``x`` (N, C) gated features, ``class_prob`` (B, K) class probabilities of
    each cloud, ``class_features`` (B, K, C) one token per class and cloud.
    """

    x: Tensor
    class_prob: Tensor
    class_features: Tensor


class ChannelGate(nn.Module):
    r"""Compute the channel vector of each cloud, in (0, 1), by convolutions along its mean feature.

    .. math:: v = \sigma\Bigl(\sum_j w_j \, \mathrm{conv}_{k_j}(g)\Bigr), \qquad g = \tfrac1n \sum_i x_i

    Args:
        kernel_sizes: Odd lengths :math:`k_j` of the convolutions.

    Convention:
        The convolutions run along the channels, so the gate depends on their order. All maps are linear without
        bias: together they equal one convolution of the largest length.
    """

    def __init__(self, *, kernel_sizes: Sequence[int] = (9, 17, 33, 65)) -> None:
        super().__init__()
        convs = [nn.Conv1d(1, 1, size, padding=size // 2, bias=False) for size in kernel_sizes]
        self.convs = nn.ModuleList(convs)
        self.mix = nn.Linear(len(kernel_sizes), 1, bias=False)

    def forward(
        self,
        x: Tensor,
        ptr: Tensor | None = None,
        *,
        batch: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Return vectors ``(B, C)`` for tokens ``x`` ``(N, C)``.

        Args:
            ptr, batch: The clouds, see :func:`~pcseg.ops.clouds.cloud_ptr`.
            weight: Weight of each token in the mean, ``(N,)``; default: 1.
        """
        mean = cloud_mean(x, cloud_ptr(x, ptr, batch), weight)[:, None]
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
        class_norm: Norm of the class scores; its statistics are over the B clouds of a batch.

    Convention:
        Class probabilities are computed from the gate itself, not from gated features. M has rank one: classes
        differ only by their probability. The published ReLU on M has no effect and is left out.
    """

    def __init__(self, channels: int, num_classes: int, *, class_norm: NormFactory = BatchNorm) -> None:
        super().__init__()
        self.gate = ChannelGate()
        self.classify = nn.Linear(channels, num_classes)
        self.norm = class_norm(num_classes)

    def forward(
        self,
        x: Tensor,
        ptr: Tensor | None = None,
        *,
        batch: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> ChannelContextOutput:
        """Return the context of tokens ``x`` ``(N, C)``; arguments as in :meth:`ChannelGate.forward`."""
        ptr = cloud_ptr(x, ptr, batch)
        vector = self.gate(x, ptr, weight=weight)
        class_prob = self.norm(self.classify(vector)).softmax(-1)
        class_features = class_prob[:, :, None] * vector[:, None]
        return ChannelContextOutput(x * spread(vector, ptr), class_prob, class_features)
