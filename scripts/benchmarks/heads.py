"""Context modules against direct implementations: axis attention, criss-cross attention, encoding, SCM."""

from collections.abc import Callable, Iterator

import torch
from benchmarks.harness import Row, measure
from torch import Tensor, nn
from torch_geometric.utils import softmax

from pcseg.nn.criss_cross import CrissCrossAttention
from pcseg.nn.encoding import EncodingLayer
from pcseg.nn.spatial_context import SpatialContext
from pcseg.nn.tokens import to_image, to_tokens
from pcseg.ops.attention import Support
from pcseg.ops.lines import axis_lines, pixel_lines
from pcseg.ops.voxels import VoxelSet

ROOM = (8.0, 7.0, 3.0)
"""Edges of the room in meters."""


def run() -> list[Row]:
    """Measure forward with backward on two CPU threads."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    return [
        axis_attention_row(voxel_size=0.1, channels=64),
        *axis_attention_curve(channels=64),
        criss_cross_row(channels=512, edge=97),
        encoding_row(tokens=97 * 97, codewords=32, channels=512),
        *spatial_context_rows(tokens=200_000, classes=20, channels=64, key_channels=32),
    ]


def step(function: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], None]:
    """Return a function that runs ``function`` at ``x`` and its backward pass from a fixed gradient."""
    x = x.detach().requires_grad_()
    gradient = torch.randn_like(function(x))

    def forward_and_backward() -> None:
        x.grad = None
        function(x).backward(gradient)
        if x.is_cuda:
            torch.cuda.synchronize()

    return forward_and_backward


# --- axis lines of sparse voxels


def room(voxel_size: float) -> VoxelSet:
    """Return the occupied voxels of a room with boxes in it."""
    boxes = [((0.0, 0.0, 0.0), ROOM)]
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        corner = torch.rand(3, generator=generator) * torch.tensor([6.0, 5.5, 0.0])
        edges = torch.rand(3, generator=generator) * torch.tensor([1.5, 1.0, 1.5]) + 0.4
        boxes.append((tuple(corner.tolist()), tuple((corner + edges).tolist())))
    cells = torch.cat([_faces(low, high, voxel_size) for low, high in boxes]).unique(dim=0)
    return VoxelSet(cells[torch.randperm(len(cells), generator=generator)], torch.tensor([0, len(cells)]))


def _faces(low: tuple[float, ...], high: tuple[float, ...], voxel_size: float) -> Tensor:
    first = [int(value / voxel_size) for value in low]
    last = [int(value / voxel_size) for value in high]
    sides = [torch.arange(a, b + 1) for a, b in zip(first, last)]
    faces = []
    for axis in range(3):
        for end in (first[axis], last[axis]):
            spans = [torch.tensor([end]) if other == axis else sides[other] for other in range(3)]
            faces.append(torch.cartesian_prod(*spans))
    return torch.cat(faces)


def line_edges(lines: Support) -> tuple[Tensor, Tensor]:
    """Return every pair (query, key) of the lines once, and each token with itself, as an edge list."""
    own = torch.arange(len(lines.partitions[0].order))
    queries, keys = [own], [own]
    for partition in lines.partitions:
        for block in partition.blocks:
            i = torch.arange(block.keys.index.shape[1])
            pair = (i[block.first : block.first + block.queries.index.shape[1], None] != i)[None]
            real = pair & (block.queries.index >= 0)[:, :, None] & (block.keys.index >= 0)[:, None, :]
            queries.append(block.queries.index[:, :, None].expand(real.shape)[real])
            keys.append(block.keys.index[:, None, :].expand(real.shape)[real])
    return torch.cat(queries), torch.cat(keys)


def edge_list_attention(module: CrissCrossAttention, x: Tensor, edges: tuple[Tensor, Tensor]) -> Tensor:
    """Compute the same attention on an edge list with the softmax of PyG."""
    query, key = edges
    logits = (module.query(x)[query] * module.key(x)[key]).sum(1)
    weight = softmax(logits, query, num_nodes=len(x))
    messages = weight[:, None] * module.value(x)[key]
    return x + module.gamma * torch.zeros_like(x).index_add(0, query, messages)


def attention_module(channels: int) -> CrissCrossAttention:
    module = CrissCrossAttention(channels)
    nn.init.ones_(module.gamma)
    return module


def axis_attention_row(*, voxel_size: float, channels: int) -> Row:
    lines, module = axis_lines(room(voxel_size)), attention_module(channels)
    edges = line_edges(lines)
    x = torch.randn(len(lines.partitions[0].order), channels)
    torch.testing.assert_close(module(x, lines), edge_list_attention(module, x, edges), rtol=1e-4, atol=1e-4)
    case = f"axis attention, {len(x)} voxels, {len(edges[0])} pairs, C={channels}"
    ours = step(lambda x: module(x, lines), x)
    theirs = step(lambda x: edge_list_attention(module, x, edges), x)
    return measure(case, ours, "edge-list softmax (PyG)", theirs, rounds=3)


def axis_attention_curve(*, channels: int) -> Iterator[Row]:
    """Measure rooms of growing size: seconds per voxel must not grow faster than the mean length of the lines."""
    module = attention_module(channels)
    for voxel_size in (0.22, 0.15, 0.1, 0.07, 0.05):
        lines = axis_lines(room(voxel_size))
        sizes = [partition.ptr.diff().double() for partition in lines.partitions]
        count = len(lines.partitions[0].order)
        mean_line = sum(float(size.square().sum()) for size in sizes) / count / len(sizes)
        row = measure(
            f"axis attention, {count} voxels, mean line {mean_line:.0f}",
            step(lambda x, lines=lines: module(x, lines), torch.randn(count, channels)),
            rounds=3,
        )
        per_pair = row.ours_s / count / mean_line
        row.other = (
            f"{1e6 * row.ours_s / count:.2f} us per voxel, {1e9 * per_pair:.1f} ns per voxel and line voxel"
        )
        yield row


# --- images


def published_criss_cross(module: CrissCrossAttention, image: Tensor) -> Tensor:
    """Compute criss-cross attention as published: copies of q, k, v by row and column, one joint softmax."""
    batch, _, height, width = image.shape

    def project(layer: nn.Linear) -> Tensor:
        return nn.functional.conv2d(image, layer.weight[:, :, None, None], layer.bias)

    def by_column(x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2).contiguous().view(batch * width, -1, height)

    def by_row(x: Tensor) -> Tensor:
        return x.permute(0, 2, 1, 3).contiguous().view(batch * height, -1, width)

    query, key, value = project(module.query), project(module.key), project(module.value)
    diagonal = torch.diag(torch.full((height,), torch.inf)).repeat(batch * width, 1, 1)
    column = torch.bmm(by_column(query).mT, by_column(key)) - diagonal
    row = torch.bmm(by_row(query).mT, by_row(key)).view(batch, height, width, width)
    column = column.view(batch, width, height, height).permute(0, 2, 1, 3)
    weights = torch.cat([column, row], 3).softmax(3)
    to_column = weights[..., :height].permute(0, 2, 1, 3).contiguous().view(batch * width, height, height)
    to_row = weights[..., height:].contiguous().view(batch * height, width, width)
    along_column = (
        torch.bmm(by_column(value), to_column.mT).view(batch, width, -1, height).permute(0, 2, 3, 1)
    )
    along_row = torch.bmm(by_row(value), to_row.mT).view(batch, height, -1, width).permute(0, 2, 1, 3)
    return module.gamma * (along_column + along_row) + image


def criss_cross_row(*, channels: int, edge: int) -> Row:
    module = attention_module(channels)
    image = torch.randn(1, channels, edge, edge)

    def ours(image: Tensor) -> Tensor:
        x, pixels = to_tokens(image)
        lines = pixel_lines(pixels.batch_size, pixels.height, pixels.width)
        return to_image(module(x, lines), pixels)

    torch.testing.assert_close(ours(image), published_criss_cross(module, image), rtol=1e-3, atol=1e-3)
    case = f"image criss-cross, (1, {channels}, {edge}, {edge})"
    theirs = step(lambda image: published_criss_cross(module, image), image)
    return measure(case, step(ours, image), "published permute and bmm", theirs)


# --- encoding and spatial context


def materialized_encoding(layer: EncodingLayer, x: Tensor) -> Tensor:
    """Compute the encoding as in the paper, with all N x K x C residuals in memory."""
    residual = x[:, None] - layer.codewords
    assign = (layer.smoothing * residual.square().sum(2)).softmax(1)
    return (assign[:, :, None] * residual).sum(0)


def encoding_row(*, tokens: int, codewords: int, channels: int) -> Row:
    layer, x = EncodingLayer(channels, codewords), torch.randn(tokens, channels)
    ptr = torch.tensor([0, tokens])
    expected = materialized_encoding(layer, x)
    torch.testing.assert_close(layer(x, ptr)[0], expected, rtol=1e-3, atol=1e-2)
    case = f"encoding layer, N={tokens}, K={codewords}, C={channels}"
    theirs = step(lambda x: materialized_encoding(layer, x), x)
    return measure(case, step(lambda x: layer(x, ptr), x), "residuals materialized", theirs, rounds=3)


class Pointwise(nn.Linear):
    """Stand-in for the local convolution, to measure the module alone."""

    def forward(self, x: Tensor, sites: object) -> Tensor:  # type: ignore[override]
        return super().forward(x)


class OneCloud:
    """Sites of a single cloud."""

    def __init__(self, tokens: int) -> None:
        self.ptr = torch.tensor([0, tokens])


def spatial_context_rows(*, tokens: int, classes: int, channels: int, key_channels: int) -> Iterator[Row]:
    """Measure the spatial context module on two sizes of a cloud."""
    module = SpatialContext(channels, key_channels, conv=Pointwise)
    class_features = torch.rand(1, classes, channels)

    def layers_alone(x: Tensor) -> Tensor:
        """Compute all layers that see every token, without the attention between them."""
        attention = module.attention
        context = attention.up(attention.query(x, None)) + x
        return module.merge(torch.cat([attention.fuse(context, None), module.local(x, None)], 1))

    for count in (tokens // 4, tokens):
        x, sites = torch.randn(count, channels), OneCloud(count)
        ours = step(lambda x, sites=sites: module(x, class_features, sites), x)
        yield measure(
            f"SCM, {count} points, {classes} classes",
            ours,
            "its layers without attention",
            step(layers_alone, x),
        )
