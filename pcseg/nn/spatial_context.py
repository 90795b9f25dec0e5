"""The spatial context module (SCM) of CTNet: tokens attend to the class features of their cloud."""

import torch
from torch import Tensor, nn

from pcseg.errors import require
from pcseg.nn.norms import BatchNorm, ConvNorm, NormFactory, linear_norm
from pcseg.nn.tokens import LocalConv, Sites
from pcseg.ops.clouds import split_clouds


class ClassAttention(nn.Module):
    r"""Every token attends to the class features of its cloud.

    .. math::
        S = \mathrm{softmax}_K(Q K^\top / \sqrt{D}), \qquad
        Y = \mathrm{fuse}(\mathrm{up}(S V) + X)

    Q is computed from the tokens by a local convolution, K and V from the class features, one row per class.

    Args:
        channels: C, of tokens and class features.
        key_channels: D.
        heads: Number of heads, which share D; 1 is published. Each head divides its logits by the root of its part.
        norm: Makes the norms; those of K and V treat the classes of all clouds as tokens.
    """

    def __init__(
        self,
        channels: int,
        key_channels: int,
        *,
        conv: LocalConv,
        heads: int = 1,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        valid = heads >= 1 and key_channels % heads == 0
        require(valid, "heads", heads, f"Choose a positive divisor of {key_channels}.")
        self.heads, self.scale = heads, (key_channels // heads) ** -0.5
        self.query = ConvNorm(conv(channels, key_channels, bias=True), norm(key_channels))
        self.key = linear_norm(channels, key_channels, bias=True, norm=norm)
        self.value = linear_norm(channels, key_channels, bias=True, norm=norm)
        self.up = linear_norm(key_channels, channels, bias=True, norm=norm)
        self.fuse = ConvNorm(conv(channels, channels, bias=True), norm(channels))

    def affinity(self, x: Tensor, class_features: Tensor, sites: Sites) -> Tensor:
        """Return the attention S of tokens to classes, ``(N, K)``: the mean over the heads."""
        return torch.cat([torch.stack(heads).mean(0) for heads in self._affinities(x, class_features, sites)])

    def attend(self, x: Tensor, class_features: Tensor, sites: Sites) -> Tensor:
        """Return ``up(S V) + X``, ``(N, C)``, the input of ``fuse``."""
        values = self.value(class_features.flatten(0, 1)).view(*class_features.shape[:2], -1)
        clouds = zip(self._affinities(x, class_features, sites), values)
        found = [
            torch.cat([weights @ part for weights, part in zip(heads, value.chunk(self.heads, 1))], 1)
            for heads, value in clouds
        ]
        return self.up(torch.cat(found)) + x

    def _affinities(self, x: Tensor, class_features: Tensor, sites: Sites) -> list[list[Tensor]]:
        """Return the attention ``(n, K)`` of every cloud and head."""
        keys = self.key(class_features.flatten(0, 1)).view(*class_features.shape[:2], -1)
        clouds = zip(split_clouds(self.query(x, sites), sites.ptr), keys)
        return [
            [
                (q @ (self.scale * k).mT).softmax(-1)
                for q, k in zip(query.chunk(self.heads, 1), key.chunk(self.heads, 1))
            ]
            for query, key in clouds
        ]

    def forward(self, x: Tensor, class_features: Tensor, sites: Sites) -> Tensor:
        """Return tokens ``x`` ``(N, C)`` with the context of ``class_features`` ``(B, K, C)``."""
        return self.fuse(self.attend(x, class_features, sites), sites)


class SpatialContext(nn.Module):
    r"""Spatial context module (Li et al., *CTNet: Context-based Tandem Network*, TPAMI 2022).

    .. math:: Y = W\,[\,\mathrm{ClassAttention}(X, M),\ \mathrm{conv}(X)\,]

    Args:
        key_channels, heads: See :class:`ClassAttention`.

    Convention:
        X are the gated features of the channel context module, M its class features. The cost is linear in the
        number of tokens: N × K pairs.
    """

    def __init__(
        self,
        channels: int,
        key_channels: int,
        *,
        conv: LocalConv,
        heads: int = 1,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        self.attention = ClassAttention(channels, key_channels, conv=conv, heads=heads, norm=norm)
        self.local = ConvNorm(conv(channels, channels, bias=True), norm(channels))
        self.merge = linear_norm(2 * channels, channels, bias=True, norm=norm)

    def forward(self, x: Tensor, class_features: Tensor, sites: Sites) -> Tensor:
        """Return ``(N, C)`` for tokens ``x`` ``(N, C)`` and class features ``(B, K, C)``."""
        context = self.attention(x, class_features, sites)
        return self.merge(torch.cat([context, self.local(x, sites)], 1))
