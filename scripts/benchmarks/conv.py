"""Sparse convolution on the surfaces of a room against spconv on a CPU, kernel maps included."""

import importlib
import math
from collections.abc import Callable
from importlib.util import find_spec

import torch
from benchmarks.harness import Row, measure
from torch import Tensor

from pcseg.ops.kernel_lookup import submanifold_map
from pcseg.ops.sparse_conv import sparse_conv
from pcseg.ops.voxels import VoxelSet

NUM_VOXELS = 100_000
GRID_SIZE = 0.02
SIZE = (7.0, 5.0, 2.8)
NOISE = 0.003
# kernel size, input channels, output channels
CASES = ((3, 32, 32), (3, 64, 64), (5, 6, 32))

Layer = Callable[[Tensor, Tensor], Tensor]


def run() -> list[Row]:
    """Measure forward, and forward with backward, against spconv on one thread and on as many as ours uses.

    Convention:
        The CPU path of spconv adds to shared rows without a lock, so its results are correct on one thread only.
    """
    grid_pos = surface_voxels()
    rows = []
    for size, channels, out_channels in CASES:
        x = torch.randn(len(grid_pos), channels)
        weight = torch.randn(size**3, channels, out_channels) / math.sqrt(size**3 * channels)
        theirs = spconv_layer(grid_pos, weight) if find_spec("spconv") else None
        if theirs is not None:
            check_equal(ours(grid_pos), theirs, x, weight)
        for backward in (False, True):
            case = f"{size}x{size}x{size}, {channels} to {out_channels}, {len(grid_pos):,} voxels"
            case += ", forward + backward" if backward else ", forward"
            rows += compare(case, ours(grid_pos), theirs, x, weight, backward)
    return rows


def compare(
    case: str, layer: Layer, theirs: Layer | None, x: Tensor, weight: Tensor, backward: bool
) -> list[Row]:
    """Measure one case; without spconv, ours alone."""
    threads = torch.get_num_threads()

    def call(layer: Layer) -> None:
        if not backward:
            with torch.no_grad():
                layer(x, weight)
            return
        inputs = x.clone().requires_grad_(), weight.clone().requires_grad_()
        layer(*inputs).sum().backward()

    def on_one_thread() -> None:
        assert theirs is not None
        torch.set_num_threads(1)
        try:
            call(theirs)
        finally:
            torch.set_num_threads(threads)

    if theirs is None:
        return [measure(case, lambda: call(layer), "not installed: spconv")]
    return [
        measure(case, lambda: call(layer), "spconv, 1 thread", on_one_thread),
        measure(case, lambda: call(layer), f"spconv, {threads} threads, wrong", lambda: call(theirs)),
    ]


def ours(grid_pos: Tensor) -> Layer:
    ptr = torch.tensor([0, len(grid_pos)])

    def layer(x: Tensor, weight: Tensor) -> Tensor:
        size = round(len(weight) ** (1 / 3))
        return sparse_conv(x, weight, submanifold_map(VoxelSet(grid_pos, ptr), size))

    return layer


def spconv_layer(grid_pos: Tensor, weight: Tensor) -> Layer:
    """Return the same convolution computed by spconv."""
    spconv = importlib.import_module("spconv.pytorch")
    # called by the backward pass, which needs CUDA otherwise
    importlib.import_module("spconv.pytorch.ops").get_current_stream = lambda: 0
    volume, channels, out_channels = weight.shape
    size = round(volume ** (1 / 3))
    # spconv supports no bias in evaluation mode on a CPU
    module = spconv.SubMConv3d(channels, out_channels, size, bias=False, algo=spconv.ConvAlgo.Native).train()
    indices = torch.cat([torch.zeros(len(grid_pos), 1, dtype=torch.int32), grid_pos], 1)
    shape = (grid_pos.amax(0) + 1).tolist()
    kernel = weight.view(size, size, size, channels, out_channels).permute(4, 0, 1, 2, 3)
    with torch.no_grad():
        module.weight.copy_(kernel)

    def layer(x: Tensor, weight: Tensor) -> Tensor:
        return module(spconv.SparseConvTensor(x, indices, shape, 1)).features

    return layer


def check_equal(layer: Layer, theirs: Layer, x: Tensor, weight: Tensor) -> None:
    """Check that both compute the same on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        torch.testing.assert_close(layer(x, weight), theirs(x, weight), rtol=1e-4, atol=1e-5)
    torch.set_num_threads(threads)


def surface_voxels() -> Tensor:
    """Return voxels ``(N, 3)`` in random order of the noisy surfaces of a room with boxes in it."""
    generator = torch.Generator().manual_seed(0)
    length, width, _ = SIZE
    x, y, z = torch.eye(3, dtype=torch.float64) * torch.tensor(SIZE)
    none = torch.zeros(3, dtype=torch.float64)
    faces = [(none, x, y), (z, x, y), (none, x, z), (y, x, z), (none, y, z), (x, y, z)]
    for _ in range(14):
        angle, *position, a, b, c = torch.rand(6, generator=generator).tolist()
        corner = torch.tensor([position[0] * (length - 1), position[1] * (width - 1), 0], dtype=torch.float64)
        cosine, sine = math.cos(2 * math.pi * angle), math.sin(2 * math.pi * angle)
        u = torch.tensor([cosine, sine, 0], dtype=torch.float64) * (0.3 + 1.2 * a)
        v = torch.tensor([-sine, cosine, 0], dtype=torch.float64) * (0.3 + 0.6 * b)
        w = torch.tensor([0, 0, 0.3 + 1.2 * c], dtype=torch.float64)
        faces += [(corner + w, u, v), (corner, u, w), (corner, v, w), (corner + v, u, w), (corner + u, v, w)]
    points = []
    for corner, u, v in faces:
        number = int(4 * u.norm() * v.norm() / GRID_SIZE**2)
        across = torch.rand(number, 2, generator=generator, dtype=torch.float64)
        points.append(corner + across[:, :1] * u + across[:, 1:] * v)
    scanned = torch.cat(points)
    scanned += NOISE * torch.randn(scanned.shape, generator=generator, dtype=torch.float64)
    voxels = torch.floor(scanned / GRID_SIZE).int()
    voxels = (voxels - voxels.amin(0)).unique(dim=0)
    nearest = voxels.double().norm(dim=1).argsort()[:NUM_VOXELS]
    return voxels[nearest[torch.randperm(len(nearest), generator=generator)]]
