"""A local operator for raw points: a convolution over the nearest neighbors of each point."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.nn.tokens import Sites
from pcseg.ops.neighbors import Neighborhoods, neighborhoods
from pcseg.ops.points import PointSet
from pcseg.values import Few, PositiveMeters, checked


@checked("NeighborConv.")
class NeighborConv(nn.Module):
    r"""Convolve raw points over their nearest neighbors, whose directions select the weights.

    .. math::
        y_i = b + W x_i
              + \frac{1}{|N(i)|} \sum_{j \in N(i)} \Bigl(W_0 + \sum_a \frac{p_{ja} - p_{ia}}{s_i} W_a\Bigr) x_j,
        \qquad s_i^2 = \frac{1}{|N(i)|} \sum_{j \in N(i)} \|p_j - p_i\|^2

    Without directions it is GraphSAGE with the mean (Hamilton et al., NeurIPS 2017), PyG's ``SAGEConv``.

    Args:
        in_channels, out_channels, bias: As in ``nn.Linear``.
        k, radius: Neighborhood N(i), see :func:`~pcseg.ops.neighbors.neighbor_table`.
        directions: Whether there are weights :math:`W_a` for each axis a.

    Convention:
        Directions are relative to the mean spacing, so that the scale of a cloud does not matter. Points without
        neighbors keep the first two terms. No features of edges are stored; half precision is summed in float32.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bias: bool = True,
        k: Few = 16,
        radius: PositiveMeters | None = None,
        directions: bool = True,
    ) -> None:
        super().__init__()
        self.k, self.radius, self.directions = k, radius, directions
        self.linear = nn.Linear(in_channels * (5 if directions else 2), out_channels, bias=bias)

    def forward(self, x: Tensor | Sequence[Tensor], sites: Sites) -> Tensor:
        """Return ``(N, out_channels)`` for features ``(N, in_channels)``, or several to be concatenated."""
        x = x if isinstance(x, Tensor) else torch.cat(list(x), 1)
        if not isinstance(sites, PointSet):
            raise UserError(
                f"NeighborConv: needs raw points, not {type(sites).__name__}. Use it as head.local with the "
                "backbone PyGBackbone."
            )
        hoods = neighborhoods(sites, self.k, self.radius)
        weights = self._weights(sites, hoods)
        own, *parts = self.linear.weight.chunk(1 + len(weights), 1)
        y = F.linear(x, own, self.linear.bias)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        for part, weight in zip(parts, weights):
            y = y + F.linear(hoods.sum(wide, weight.to(wide.dtype)).to(x.dtype), part)
        return y

    def _weights(self, points: PointSet, hoods: Neighborhoods) -> list[Tensor]:
        """Return the weight of every neighbor in the mean, and in the mean of every direction, ``(E,)`` each."""

        def build() -> list[Tensor]:
            target, pos = hoods.target, points.pos.detach()
            share = 1 / hoods.ptr.diff().to(pos.dtype)[target]
            if not self.directions:
                return [share]
            offset = [column[hoods.source] - column[target] for column in pos.unbind(1)]
            square = torch.stack([along.square() for along in offset]).sum(0)
            spread = pos.new_zeros(len(pos)).index_add(0, target, share * square)
            scale = share / spread.clamp(min=torch.finfo(pos.dtype).tiny).sqrt()[target]
            return [share, *(scale * along for along in offset)]

        return points.cached(("directions", self.k, self.radius, self.directions), build)

    def extra_repr(self) -> str:
        return f"k={self.k}, radius={self.radius}, directions={self.directions}"
