"""Slab context: every token reads which classes its slabs along the axes hold."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from pcseg.errors import require, require_choice
from pcseg.nn.norms import BatchNorm, NormFactory, activation_after
from pcseg.ops.segment import repeat_rows, segment_max
from pcseg.ops.slabs import Slabs

SlabContent = Literal["shares", "features", "positions"]
"""What tokens read from a slab besides its position: class shares, mean features, or nothing (the control)."""

NUM_POSITION_FEATURES = 5

REACH = 32
"""Distance of slabs from which on the attention between them no longer depends on it."""

FARTHEST = 2**15
"""Distance from the ends of a cloud, in slabs, from which on position features stay the same: float16 holds them."""

FULL = 1 / 16
"""Share of the size of a typical slab from which on a slab can be an end of its cloud. Stray points, such as rays
through windows, fill less: walls, floors and ceilings are then the ends of a room."""


class SlabContext(nn.Module):
    r"""Class shares per slab as context of the tokens.

    A slab s holds the tokens of a cloud that share a coordinate, for example all voxels between two heights. With
    class probabilities p of the tokens,

    .. math::
        m_s = \big[\operatorname{mean}_{i \in s} p_i,\ \max_{i \in s} p_i\big], \qquad
        u_s = \mathrm{LN}\big(W_d\,[m_s,\ q_s] + e_a\big), \qquad
        y_i = \mathrm{ReLU}\,\mathrm{BN}\Big(W x_i + \sum_a W_a\, u_{s(i, a)}\Big)

    where q are the distances to both ends of the cloud along the axis a (:func:`slab_ends`) and the number of tokens,
    and e an embedding of the axis.

    Args:
        channels: C, of the tokens.
        num_classes: K.
        num_axes: Number of axes A.
        width: Channels of u.
        content: ``shares``; ``features``, for which m is the slab's mean of linearly projected tokens; or
            ``positions``, which replaces m by zeros and keeps all parameters of ``shares``.
        heads: Heads of the :class:`SlabAttention` that u passes before the norm; 0 leaves it out.
        norm: Makes the norm.

    Convention:
        Time and memory are linear in the tokens: ``N (A K + C)`` numbers and one vector per slab; attention adds one
        number per head, axis and pair of slabs of a cloud, with clouds padded to the longest one of the batch. Class
        shares of slabs locate the classes only if the axes are those of the room. Half precision is summed in
        float32. Tables are an argument of the forward pass, so that a forward pre-hook can replace them.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        num_axes: int = 3,
        width: int = 64,
        content: SlabContent = "shares",
        heads: int = 0,
        norm: NormFactory = BatchNorm,
    ) -> None:
        super().__init__()
        require_choice("content", content, SlabContent)
        self.content = content
        self.enter = nn.Linear(channels, width) if content == "features" else None
        inside = 2 * num_classes if self.enter is None else width
        self.describe = nn.Linear(inside + NUM_POSITION_FEATURES, width)
        self.attention = SlabAttention(width, num_axes=num_axes, heads=heads) if heads else None
        self.axis = nn.Parameter(0.02 * torch.randn(num_axes, width))
        self.normalize = nn.LayerNorm(width)
        self.own = nn.Linear(channels, channels, bias=False)
        self.read = nn.ModuleList(nn.Linear(width, channels, bias=False) for _ in range(num_axes))
        self.norm = norm(channels)
        self.activation = activation_after(self.norm)

    def tables(self, x: Tensor, prob: Tensor, slabs: Sequence[Slabs]) -> list[Tensor]:
        """Return what slabs hold, one table per axis, from tokens ``(N, C)`` and class probabilities ``(N, K)``."""
        if self.enter is not None:
            return slab_means(self.enter(x), slabs)
        tables = class_tables(prob, slabs)
        return tables if self.content == "shares" else [torch.zeros_like(table) for table in tables]

    def forward(
        self, x: Tensor, slabs: Sequence[Slabs], tables: Sequence[Tensor], *, weight: Tensor | None = None
    ) -> Tensor:
        """Return tokens with context ``(N, C)``.

        Args:
            x: Tokens, ``(N, C)``.
            slabs: Slabs along each axis.
            tables: Class shares and maxima ``(S, 2K)``, or mean features ``(S, width)``, of the slabs along each
                axis, see :meth:`tables`.
            weight: Number of fine voxels or of points that each token stands for, ``(N,)``; default: 1.
        """
        y = self.own(x)
        for axis, (along, table) in enumerate(zip(slabs, tables, strict=True)):
            position = position_features(along, weight, dtype=table.dtype)
            features = torch.cat([table, position], 1).to(x.dtype)
            u = self.describe(features) + self.axis[axis]
            if self.attention is not None:
                u = self.attention(u, along, axis)
            y = y + repeat_rows(self.read[axis](self.normalize(u)), along.groups.id)
        return self.activation(self.norm(y))


class SlabAttention(nn.Module):
    r"""A transformer layer between the slabs of a cloud along one axis.

    .. math:: u \leftarrow u + W_o\,\mathrm{softmax}\bigl(q k^\top / \sqrt d + b_a(\Delta)\bigr) v, \qquad
              u \leftarrow u + \mathrm{MLP}(\mathrm{LN}(u))

    with q, k, v from LN(u) and a learned bias b of the distance :math:`\Delta` along the axis a, in slabs and up to
    :data:`REACH` on each side.

    Args:
        width: Channels of u.
        num_axes: Number of axes.
        heads: Number of heads, which divides ``width``.
    """

    def __init__(self, width: int, *, num_axes: int, heads: int) -> None:
        super().__init__()
        require(heads >= 1 and width % heads == 0, "heads", heads, f"Choose a positive divisor of {width}.")
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(num_axes, heads, 2 * REACH + 1))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, u: Tensor, slabs: Slabs, axis: int) -> Tensor:
        """Return slabs ``u`` ``(S, width)`` along the axis of this number with what they attend to."""
        if not len(u):  # pad_sequence rejects it
            return u
        _, counts = torch.unique_consecutive(slabs.cloud, return_counts=True)
        sizes = counts.tolist()
        level = pad_sequence([*slabs.level.split(sizes)], batch_first=True)  # (B, L)
        offset = (level[:, :, None] - level[:, None]).clamp(-REACH, REACH) + REACH
        inside = torch.arange(level.shape[1], device=u.device) < counts[:, None]
        bias = self.bias[axis][:, offset].transpose(0, 1).masked_fill(~inside[:, None, None], -torch.inf)
        qkv = pad_sequence([*self.qkv(self.first(u)).split(sizes)], batch_first=True)  # (B, L, 3 width)
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(q, k, v, bias.to(q.dtype)).transpose(1, 2).flatten(2)
        u = u + self.out(found[inside])
        return u + self.mlp(self.second(u))


def class_tables(prob: Tensor, slabs: Sequence[Slabs]) -> list[Tensor]:
    """Return mean and maximum of class probabilities ``(N, K)`` in every slab of each axis, ``(S, 2K)``.

    Convention:
        Half precision becomes float32.
    """
    rows = _rows_of_slabs(prob, slabs)
    return [torch.cat([_means(r, a.counts), segment_max(r, a.counts)], 1) for r, a in zip(rows, slabs)]


def slab_means(x: Tensor, slabs: Sequence[Slabs]) -> list[Tensor]:
    """Return the mean of tokens ``(N, C)`` in every slab of each axis, ``(S, C)``; half precision becomes float32."""
    return [_means(r, a.counts) for r, a in zip(_rows_of_slabs(x, slabs), slabs)]


def _rows_of_slabs(x: Tensor, slabs: Sequence[Slabs]) -> list[Tensor]:
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return [x.index_select(0, along.groups.order) for along in slabs]


def _means(rows: Tensor, counts: Tensor) -> Tensor:
    if not len(rows):  # segment_reduce rejects it
        return rows
    return torch.segment_reduce(rows, "sum", lengths=counts, axis=0, unsafe=True) / counts[:, None]


def position_features(slabs: Slabs, weight: Tensor | None = None, *, dtype: torch.dtype) -> Tensor:
    """Return what slabs know of their position, ``(S, 5)``: fill, nearness to both ends, distance from both ends."""
    ends = slab_ends(slabs, weight).clamp(max=FARTHEST).to(dtype)
    fill = slabs.counts.to(dtype).log1p()[:, None] / 4
    return torch.cat([fill, (-ends / 2).exp(), ends / 16], 1)


def slab_ends(slabs: Slabs, weight: Tensor | None = None) -> Tensor:
    r"""Return the steps from every slab to the lower and to the upper end of its cloud, ``(S, 2)`` int64.

    The ends are the outermost slabs whose size w, the weight of their tokens, is at least :data:`FULL` of the typical
    size :math:`\sum w^2 / \sum w`. Slabs beyond an end have distance 0 from it.
    """
    cloud, size = slabs.cloud, slabs.counts.float()
    if weight is not None:
        size = torch.zeros_like(size).index_add_(0, slabs.groups.id, weight.float())
    sums = size.new_zeros(slabs.num_clouds, 2).index_add_(0, cloud, torch.stack([size, size**2], 1))
    total, square = sums[cloud].unbind(1)
    full = size * total >= FULL * square
    steps = torch.stack([slabs.level, -slabs.level], 1)
    ends = steps.masked_fill(~full[:, None], torch.iinfo(steps.dtype).max)
    ends = torch.zeros_like(sums, dtype=steps.dtype).scatter_reduce(
        0, cloud[:, None].expand_as(steps), ends, "amin", include_self=False
    )
    return (steps - ends[cloud]).clamp(min=0)
