"""Context on raw points: criss-cross attention, encodings and neighborhoods, and what torch-scatter brings."""

from collections.abc import Iterator

import torch
from benchmarks.harness import Row, measure
from benchmarks.heads import attention_module, edge_list_attention, room, step
from torch import Tensor

from pcseg.nn.encoding import EncodingLayer
from pcseg.nn.neighbor_conv import NeighborConv
from pcseg.ops.lines import axis_lines
from pcseg.ops.neighbors import neighborhoods
from pcseg.ops.points import PointSet
from pcseg.ops.segment import plain_segment_max, scatter_segment_csr


def run() -> list[Row]:
    """Measure forward with backward on two CPU threads."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    rows = [
        criss_cross_row(points=25_000, cell_size=0.1, channels=64),
        *encoding_rows(sizes=(125_000, 250_000, 500_000, 1_000_000), channels=64),
        *neighbor_rows(sizes=(125_000, 1_000_000), channels=32),
    ]
    return [*rows, *segment_rows()]


def surface(count: int) -> Tensor:
    """Return raw points on the surfaces of a room with boxes, ``(count, 3)`` in meters."""
    voxels = room(0.05).grid_pos
    rows = torch.randint(len(voxels), (count,))
    return 0.05 * (voxels[rows] + torch.rand(count, 3))


def union_edges(points: PointSet) -> tuple[Tensor, Tensor]:
    """Return every pair (query, key) that shares a line, once, as an edge list."""
    count, keys = len(points), []
    for groups in axis_lines(points).partitions:
        for tokens in groups.order.split(groups.ptr.diff().tolist()):
            keys.append((tokens[:, None] * count + tokens).flatten())
    unique = torch.cat(keys).unique()
    return unique // count, unique % count


def criss_cross_row(*, points: int, cell_size: float, channels: int) -> Row:
    sites, module = PointSet(surface(points), cell_size=cell_size), attention_module(channels)
    lines, edges = axis_lines(sites), union_edges(sites)
    x = torch.randn(points, channels)
    torch.testing.assert_close(module(x, lines), edge_list_attention(module, x, edges), rtol=1e-3, atol=1e-3)
    return measure(
        f"criss-cross, {points} raw points, {len(edges[0])} pairs, C={channels}",
        step(lambda x: module(x, lines), x),
        "edge-list softmax (PyG)",
        step(lambda x: edge_list_attention(module, x, edges), x),
        rounds=3,
    )


def encoding_rows(*, sizes: tuple[int, ...], channels: int) -> Iterator[Row]:
    """Measure encodings of growing clouds: seconds and memory per point must not grow."""
    layer = EncodingLayer(channels, 32)
    for size in sizes:
        x, ptr, weight = torch.randn(size, channels), torch.tensor([0, size]), torch.rand(size)
        row = measure(
            f"weighted encoding, {size} raw points, K=32, C={channels}",
            step(lambda x, ptr=ptr, weight=weight: layer(x, ptr, weight), x),
            rounds=3,
        )
        yield per_point(row, size)


def neighbor_rows(*, sizes: tuple[int, ...], channels: int) -> Iterator[Row]:
    """Measure the search of 16 neighbors, and the convolution over them."""
    conv = NeighborConv(channels, channels)
    for size in sizes:
        sites, x = PointSet(surface(size)), torch.randn(size, channels)
        search = measure(
            f"16 neighbors, {size} raw points",
            lambda sites=sites: neighborhoods(PointSet(sites.pos), 16),
            rounds=1,
        )
        yield per_point(search, size)
        layer = measure(
            f"convolution over them, C={channels}", step(lambda x, sites=sites: conv(x, sites), x), rounds=3
        )
        yield per_point(layer, size)


def per_point(row: Row, size: int) -> Row:
    memory = "" if row.ours_peak_mb is None else f", {1e6 * row.ours_peak_mb / size:.0f} bytes"
    row.other = f"{1e6 * row.ours_s / size:.2f} us{memory} per point"
    return row


def segment_rows() -> Iterator[Row]:
    """Compare the maximum of groups with torch-scatter, and without it, on a CPU and on a GPU if there is one."""
    scatter = scatter_segment_csr()
    if scatter is None:
        return
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        x, lengths = torch.randn(100_000, 64, device=device), torch.full((25_000,), 4, device=device)
        ptr = torch.arange(25_001, device=device) * 4
        yield measure(
            f"maximum of 25000 groups, 100000 rows, C=64, {device}",
            step(lambda x, lengths=lengths: plain_segment_max(x, lengths), x),
            "torch-scatter",
            step(lambda x, ptr=ptr: scatter(x, ptr, reduce="max"), x),
            memory=False,
        )
