"""Nearest neighbors of raw points and farthest point sampling, in memory that is linear in the points.

PyG's ``knn_graph``, ``radius_graph`` and ``fps`` need pyg-lib, which the Python package index does not have. A k-d tree
of SciPy searches on a CPU, blocks of ``torch.cdist`` on a GPU.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from pcseg.errors import UserError, require
from pcseg.ops.clouds import split_clouds
from pcseg.ops.points import PointSet
from pcseg.ops.segment import bin_counts

QUERIES = 1 << 16
"""Queries per block of the k-d tree, whose results are twice as wide as those that are kept."""

EXACT = "donot_use_mm_for_euclid_dist"  # codespell:ignore donot
"""Differences of coordinates, since products round the distances of near points far from the origin."""

PAIRS = 1 << 26
"""Distances per block on a GPU."""


def neighbor_table(points: PointSet, k: int, radius: float | None = None) -> Tensor:
    """Return the ``k`` nearest other points of every point in its cloud, ``(N, k)`` int64, nearest first.

    Args:
        k: Number of neighbors.
        radius: Only points that are nearer than this.

    Raises:
        UserError: An option is out of range, or no point of a cloud of more than k points has a neighbor.

    Convention:
        -1 stands for no neighbor: beyond the radius, or in a cloud of k points or fewer. A point is never its own
        neighbor; other points at the same position are. Which of several equally distant points come last is not
        defined.
    """
    require(k >= 1, "k", k, "Use 1 or more neighbors.")
    require(radius is None or radius > 0, "radius", radius, "Use a positive length.")
    table = nearest_points(points, points, k + 1, radius)
    itself = table == torch.arange(len(table), device=table.device)[:, None]
    itself[:, -1] |= ~itself.any(1)  # more than k points coincide with it
    table = table[~itself].view(len(table), k)
    for cloud, rows in enumerate(split_clouds(table, points.ptr)):
        if len(rows) > k and bool((rows < 0).all()):
            raise UserError(
                f"radius: no point of cloud {cloud} has a neighbor within {radius}. Use a larger radius, or check the "
                "unit of pos."
            )
    return table


def neighborhoods(points: PointSet, k: int, radius: float | None = None) -> "Neighborhoods":
    """Return :func:`neighbor_table` as :class:`Neighborhoods`, built once per point set and shared by all layers."""
    return points.cached(("neighbors", k, radius), lambda: Neighborhoods(neighbor_table(points, k, radius)))


def neighbor_edges(points: PointSet, k: int, radius: float | None = None) -> Tensor:
    """Return :func:`neighbor_table` as PyG's ``edge_index`` ``(2, E)``: neighbors, then the points that see them."""
    hoods = neighborhoods(points, k, radius)
    return torch.stack([hoods.source, hoods.target])


class Neighborhoods:
    """The neighbors of every point as compressed rows, and as compressed columns for gradients.

    Args:
        table: Neighbors of every point, ``(N, k)``, -1 for none, see :func:`neighbor_table`.
    """

    def __init__(self, table: Tensor) -> None:
        found = table >= 0
        count = found.sum(1)
        self.source = table[found]
        self.target = torch.arange(len(table), device=table.device).repeat_interleave(
            count, output_size=len(self.source)
        )
        self.ptr = _ends(count)
        self.order = self.source.argsort(stable=True)  # of the pairs, by column
        self.source_ptr = _ends(bin_counts(self.source, len(table)))

    def sum(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted sum of the neighbors of every point, ``(N, C)`` to ``(N, C)``.

        Args:
            x: Features of the points.
            weight: Weight of every pair of ``target`` and ``source``, ``(E,)``, which gets no gradient.

        Convention:
            The sums are those of ``embedding_bag``, which stores no features of pairs. Its own backward pass takes ten
            times as long as this one.
        """
        return _NeighborSum.apply(x, weight, self) if len(x) else x


class _NeighborSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, hoods: Neighborhoods) -> Tensor:
        ctx.weight, ctx.hoods = weight, hoods
        return _bags(hoods.source, hoods.ptr, x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hoods: Neighborhoods = ctx.hoods
        order = hoods.order
        return _bags(hoods.target[order], hoods.source_ptr, grad, ctx.weight[order]), None, None


def _bags(index: Tensor, ptr: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    return F.embedding_bag(
        index, x.contiguous(), ptr, per_sample_weights=weight, mode="sum", include_last_offset=True
    )


def _ends(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def nearest_edges(query: PointSet, points: PointSet, k: int, radius: float | None = None) -> Tensor:
    """Return :func:`nearest_points` as PyG's bipartite ``edge_index`` ``(2, E)``: points, then queries."""
    table = nearest_points(query, points, k, radius)
    row, column = (table >= 0).nonzero(as_tuple=True)
    return torch.stack([table[row, column], row])


def nearest_points(query: PointSet, points: PointSet, k: int, radius: float | None = None) -> Tensor:
    """Return the ``k`` nearest points of the same cloud for every query, ``(Q, k)`` int64, -1 for none.

    Args:
        query: Q points of as many clouds.
        k: Number of points per query.
        radius: Only points that are nearer than this.
    """
    search = _by_tree if points.pos.device.type == "cpu" else _by_blocks
    found = []
    parts = [split_clouds(each.pos.detach(), each.ptr) for each in (query, points)]
    for rows, cloud, first in zip(*parts, points.ptr.tolist()):
        near = rows.new_full((len(rows), k), -1, dtype=torch.int64)
        if len(rows) and len(cloud):
            count = min(k, len(cloud))
            index = search(rows, cloud, count, radius)
            near[:, :count] = torch.where(index < 0, -1, index + first)
        found.append(near)
    return torch.cat(found)


def _by_tree(query: Tensor, points: Tensor, k: int, radius: float | None) -> Tensor:
    from scipy.spatial import KDTree  # its import takes half a second

    tree = KDTree(points.numpy())
    bound = float("inf") if radius is None else radius
    # queries in the order of the leaves share memory that is in the cache: twice as fast
    order = torch.from_numpy(KDTree(query.numpy()).indices)
    index = torch.empty(len(query), k, dtype=torch.int64)
    for rows in order.split(QUERIES):
        _, near = tree.query(
            query[rows].numpy(), k, distance_upper_bound=bound, workers=torch.get_num_threads()
        )
        index[rows] = torch.from_numpy(near).view(len(rows), k)
    return torch.where(index == len(points), -1, index)


def _by_blocks(query: Tensor, points: Tensor, k: int, radius: float | None) -> Tensor:
    blocks = []
    for rows in query.split(max(1, PAIRS // len(points))):
        distance = torch.cdist(rows, points, compute_mode=EXACT)
        near = distance.topk(k, largest=False)
        blocks.append(near.indices if radius is None else near.indices.where(near.values < radius, -1))
    return torch.cat(blocks)


def farthest_points(points: PointSet, ratio: float) -> Tensor:
    """Return the rows of a subset of every cloud in which each point is the farthest from those before it.

    This is farthest point sampling (Qi et al., *PointNet++*, NeurIPS 2017), from the first point of each cloud.

    Args:
        ratio: Share of the points to keep, rounded up.

    Returns:
        Rows in the order of selection, ``(M,)`` int64, cloud after cloud.
    """
    require(0 < ratio <= 1, "ratio", ratio, "Use a share above 0, up to 1.")
    kept = []
    for first, cloud in zip(points.ptr.tolist(), split_clouds(points.pos.detach(), points.ptr)):
        count = -(-len(cloud) * ratio // 1)
        nearest = cloud.new_full((len(cloud),), torch.inf)
        row = torch.zeros(1, dtype=torch.int64, device=cloud.device)
        axes = cloud.T.contiguous()  # sums of three long rows take half the time of sums of many short ones
        for _ in range(int(count)):
            kept.append(row + first)
            nearest = torch.minimum(nearest, (axes - axes[:, row]).square_().sum(0))
            row = nearest.argmax(keepdim=True)
    return torch.cat(kept) if kept else points.batch.new_empty(0)
