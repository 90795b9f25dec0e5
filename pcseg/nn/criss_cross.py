"""Criss-cross attention of CCNet along the lines of images, volumes or sparse voxels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.errors import require
from pcseg.ops.attention import Support, union_attention


class CrissCrossAttention(nn.Module):
    r"""Every token attends to the tokens on its lines (Huang et al., *CCNet*, ICCV 2019, Eq. 1 and 2).

    .. math:: x'_u = x_u + \gamma \sum_{w \in S(u)} A_{uw} V_w, \qquad
              A_u = \mathrm{softmax}_{S(u)}\bigl(Q_u K^\top\bigr)

    :math:`S(u)` is the union of the lines of u, as a set. Applied R times with the same weights, information
    travels along R lines.

    Args:
        channels: C.
        reduction: Queries and keys have ``channels // reduction`` channels.

    Convention:
        One softmax over all lines together; logits are not scaled. :math:`\gamma` (absent from the paper) starts
        at 0: the module is the identity at first, and its other weights get no gradient in the first step.
    """

    def __init__(self, channels: int, *, reduction: int = 8) -> None:
        super().__init__()
        require(
            channels >= reduction, "criss-cross attention: channels", channels, f"Use at least {reduction}."
        )
        self.query = nn.Linear(channels, channels // reduction)
        self.key = nn.Linear(channels, channels // reduction)
        self.value = nn.Linear(channels, channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, lines: Support) -> Tensor:
        """Return tokens ``x`` ``(N, C)`` plus what they attend to along ``lines``."""
        query, key, scaled_value = self.project(x)
        return x + union_attention(query, key, scaled_value, lines)

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        r"""Return queries, keys and :math:`\gamma` times the values.

        One matrix product is faster than three and a scaling.
        """
        weight = torch.cat([self.query.weight, self.key.weight, self.gamma * self.value.weight])
        bias = torch.cat([self.query.bias, self.key.bias, self.gamma * self.value.bias])
        widths = [layer.out_features for layer in (self.query, self.key, self.value)]
        return F.linear(x, weight, bias).split(widths, dim=1)
