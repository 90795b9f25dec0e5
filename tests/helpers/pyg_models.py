"""Small point models of PyTorch Geometric, each with another interface."""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MLP, EdgeConv, PointNetConv, PointTransformerConv

from pcseg.ops.neighbors import farthest_points, nearest_edges, neighbor_edges
from pcseg.ops.points import PointSet


class SetAbstraction(nn.Module):
    """PointNet++: returns the samples of two scales as levels."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.first = MLP([in_channels, 16])
        self.convs = nn.ModuleList(PointNetConv(MLP([16 + 3, 16]), add_self_loops=False) for _ in range(2))

    def forward(self, x: Tensor, pos: Tensor, batch: Tensor) -> list[Any]:
        points, levels = PointSet(pos, batch=batch), [self.first(x)]
        x = levels[0]
        for conv in self.convs:
            rows = farthest_points(points, ratio=0.5)
            kept = PointSet(points.pos[rows], batch=points.batch[rows])
            x = conv((x, x[rows]), (points.pos, kept.pos), nearest_edges(kept, points, k=8, radius=1.0))
            points = kept
            levels.append((x, points.pos, points.batch))
        return levels


class DGCNN(nn.Module):
    """Dynamic graph CNN: neighbors of the second layer are found among features."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            EdgeConv(MLP([2 * width, 16]), aggr="max") for width in (in_channels + 3, 16)
        )

    def forward(self, data: Any) -> Tensor:
        x = torch.cat([data.x, data.pos], 1)
        for conv in self.convs:
            x = conv(x, neighbor_edges(PointSet(x, data.ptr), k=6))
        return x


class PointTransformer(nn.Module):
    """One layer of attention over given edges."""

    def __init__(self, in_channels: int, *, width: int = 16) -> None:
        super().__init__()
        self.conv = PointTransformerConv(in_channels, width)

    def forward(self, x: Tensor, pos: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(x, pos, edge_index)
