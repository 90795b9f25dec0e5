"""Criss-cross attention of CCNet along the lines of images, volumes or sparse voxels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.errors import UserError, require
from pcseg.ops.attention import Support, union_attention

BASE = 100.0
"""Frequency f of F rotates by ``BASE ** (-f / F)`` radians per voxel."""


class CrissCrossAttention(nn.Module):
    r"""Every token attends to the tokens on its lines (Huang et al., *CCNet*, ICCV 2019, Eq. 1 and 2).

    .. math:: x'_u = x_u + \gamma \sum_{w \in S(u)} A_{uw} V_w, \qquad
              A_u = \mathrm{softmax}_{S(u)}\bigl(Q_u K^\top\bigr)

    :math:`S(u)` is the union of the lines of u, as a set. Applied R times with the same weights, information
    travels along R lines.

    Args:
        channels: C.
        reduction: Queries and keys of a head have D = ``channels // reduction`` channels.
        heads: Number of heads, which divides ``channels``; each has its part of the values.
        scaled: Divide logits by the root of D.
        relative_axes: Number of axes along which queries and keys are rotated by the position of the token, so that
            their products depend on relative positions (Su et al., *RoFormer*, 2021); 0 leaves it out. Of every
            head, the pair of channels ``a F + f`` belongs to axis a and frequency f of F = D // (2 axes).

    Convention:
        One softmax over all lines together; published logits are not scaled. :math:`\gamma` (absent from the
        paper) starts at 0: the module is the identity at first, and its other weights get no gradient in the first
        step.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 8,
        heads: int = 1,
        scaled: bool = False,
        relative_axes: int = 0,
    ) -> None:
        super().__init__()
        least = reduction * max(1, 2 * relative_axes)
        require(channels >= least, "criss-cross attention: channels", channels, f"Use at least {least}.")
        valid = heads >= 1 and channels % heads == 0
        require(valid, "heads", heads, f"Choose a positive divisor of {channels}.")
        depth = channels // reduction
        self.heads, self.scale = heads, depth**-0.5 if scaled else None
        self.frequencies = depth // (2 * relative_axes) if relative_axes else 0
        self.query = nn.Linear(channels, heads * depth)
        self.key = nn.Linear(channels, heads * depth)
        self.value = nn.Linear(channels, channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, lines: Support, position: Tensor | None = None) -> Tensor:
        """Return tokens ``x`` ``(N, C)`` plus what they attend to along ``lines``.

        Args:
            position: Coordinates of the tokens along the relative axes, ``(N, A)``; needed if there are any.
        """
        heads = zip(*(part.chunk(self.heads, 1) for part in self.project(x, position)))
        found = [union_attention(query, key, scaled_value, lines) for query, key, scaled_value in heads]
        return x + (found[0] if self.heads == 1 else torch.cat(found, 1))

    def project(self, x: Tensor, position: Tensor | None = None) -> tuple[Tensor, ...]:
        r"""Return queries, keys and :math:`\gamma` times the values, head after head.

        One matrix product is faster than three and a scaling.
        """
        weight = torch.cat([self.query.weight, self.key.weight, self.gamma * self.value.weight])
        bias = torch.cat([self.query.bias, self.key.bias, self.gamma * self.value.bias])
        widths = [layer.out_features for layer in (self.query, self.key, self.value)]
        query, key, value = F.linear(x, weight, bias).split(widths, dim=1)
        if self.scale is not None:
            query = self.scale * query
        if self.frequencies:
            if position is None:
                raise UserError("position: relative axes need the coordinates of the tokens. Pass them.")
            query, key = self._rotate(query, position), self._rotate(key, position)
        return query, key, value

    def _rotate(self, x: Tensor, position: Tensor) -> Tensor:
        """Return queries or keys ``(N, H D)``, rotated by the position ``(N, A)``."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        steps = torch.arange(self.frequencies, device=x.device, dtype=dtype) / self.frequencies
        angle = (position.to(dtype)[:, :, None] * BASE**-steps).flatten(1)[:, None]  # (N, 1, A F)
        cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        heads = x.unflatten(1, (self.heads, -1))
        pairs, rest = heads.split([2 * angle.shape[2], heads.shape[2] - 2 * angle.shape[2]], 2)
        first, second = pairs.unflatten(2, (-1, 2)).unbind(3)
        turned = torch.stack([first * cosine - second * sine, second * cosine + first * sine], 3)
        return torch.cat([turned.flatten(2), rest], 2).flatten(1)
