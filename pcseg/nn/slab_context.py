"""Slab context: every token reads which classes its slabs along the axes hold."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pcseg.errors import require_choice
from pcseg.nn.norms import BatchNorm, NormFactory, activation_after
from pcseg.ops.segment import repeat_rows, segment_max
from pcseg.ops.slabs import Slabs

SlabContent = Literal["shares", "positions"]
"""What tokens read from a slab: class shares and its position, or only its position (the control)."""

NUM_POSITION_FEATURES = 5


class SlabContext(nn.Module):
    r"""Class shares per slab as context of the tokens.

    A slab s holds the tokens of a cloud that share a coordinate, for example all voxels between two heights. With
    class probabilities p of the tokens,

    .. math::
        m_s = \big[\operatorname{mean}_{i \in s} p_i,\ \max_{i \in s} p_i\big], \qquad
        u_s = \mathrm{LN}\big(W_d\,[m_s,\ q_s] + e_a\big), \qquad
        y_i = \mathrm{ReLU}\,\mathrm{BN}\Big(W x_i + \sum_a W_a\, u_{s(i, a)}\Big)

    where q are the distances to both ends of the cloud along the axis a and the number of tokens, and e an embedding
    of the axis.

    Args:
        channels: C, of the tokens.
        num_classes: K.
        num_axes: Number of axes A.
        width: Channels of u.
        content: ``shares``, or ``positions``, which replaces m by zeros and keeps all parameters.
        norm: Makes the norm.

    Convention:
        Time and memory are linear in the tokens: ``N (A K + C)`` numbers and one vector per slab. Class
        shares of slabs locate the classes only if the axes are those of the room. Half precision is summed in float32.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        num_axes: int = 3,
        width: int = 64,
        content: SlabContent = "shares",
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        require_choice("content", content, SlabContent)
        self.content = content
        self.describe = nn.Linear(2 * num_classes + NUM_POSITION_FEATURES, width)
        self.axis = nn.Parameter(0.02 * torch.randn(num_axes, width))
        self.normalize = nn.LayerNorm(width)
        self.own = nn.Linear(channels, channels, bias=False)
        self.read = nn.ModuleList(nn.Linear(width, channels, bias=False) for _ in range(num_axes))
        self.norm = norm(channels)
        self.activation = activation_after(self.norm)

    def forward(self, x: Tensor, slabs: Sequence[Slabs], tables: Sequence[Tensor]) -> Tensor:
        """Return tokens with context ``(N, C)``.

        Args:
            x: Tokens, ``(N, C)``.
            slabs: Slabs along each axis.
            tables: Class shares and maxima of the slabs along each axis, ``(S, 2K)``, see :func:`class_tables`.
        """
        y = self.own(x)
        for axis, (along, table) in enumerate(zip(slabs, tables, strict=True)):
            if self.content == "positions":
                table = torch.zeros_like(table)
            features = torch.cat([table, position_features(along, dtype=table.dtype)], 1).to(x.dtype)
            u = self.normalize(self.describe(features) + self.axis[axis])
            y = y + repeat_rows(self.read[axis](u), along.groups.id)
        return self.activation(self.norm(y))


def class_tables(prob: Tensor, slabs: Sequence[Slabs]) -> list[Tensor]:
    """Return mean and maximum of class probabilities ``(N, K)`` in every slab of each axis, ``(S, 2K)``.

    Convention:
        Half precision becomes float32.
    """
    prob = prob.to(torch.promote_types(prob.dtype, torch.float32))
    if not len(prob):  # segment_reduce rejects it
        return [torch.cat([prob, prob], 1) for _ in slabs]
    tables = []
    for along in slabs:
        rows = prob.index_select(0, along.groups.order)
        total = torch.segment_reduce(rows, "sum", lengths=along.counts, axis=0)
        tables.append(torch.cat([total / along.counts[:, None], segment_max(rows, along.counts)], 1))
    return tables


def position_features(slabs: Slabs, *, dtype: torch.dtype) -> Tensor:
    """Return what slabs know of their position, ``(S, 5)``: fill, nearness to both ends, distance from both ends."""
    ends = slabs.ends.to(dtype)
    fill = slabs.counts.to(dtype).log1p()[:, None] / 4
    return torch.cat([fill, (-ends / 2).exp(), ends / 16], 1)
