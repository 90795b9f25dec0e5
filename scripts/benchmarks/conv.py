"""Sparse convolution on the surfaces of a room against spconv on a CPU, kernel maps included."""

import importlib
import math
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from benchmarks.harness import Row, measure
from torch import Tensor

from pcseg.ops.kernel_lookup import submanifold_map
from pcseg.ops.sparse_conv import sparse_conv
from pcseg.ops.voxels import VoxelSet

NUM_VOXELS = 100_000
# kernel size, input channels, output channels
CASES = ((3, 32, 32), (3, 64, 64), (5, 6, 32))

Layer = Callable[[Tensor, Tensor], Tensor]


def run() -> list[Row]:
    """Measure forward, and forward with backward, against spconv on one thread and on as many as ours uses.

    Convention:
        The CPU path of spconv adds to shared rows without a lock, so its results are correct on one thread only.
    """
    grid_pos = shuffled_voxels()
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


def shuffled_voxels() -> Tensor:
    """Return :func:`surface_voxels` in random order, ``(NUM_VOXELS, 3)``."""
    order = torch.randperm(NUM_VOXELS, generator=torch.Generator().manual_seed(0))
    return surface_voxels(0, NUM_VOXELS)[order]


def surface_voxels(seed: int, count: int) -> Tensor:
    """Return ``count`` voxels of floor, ceiling, walls and boxes with noise, ``(count, 3)`` int32."""
    rng = np.random.default_rng(seed)
    scale = (count / 100_000) ** 0.5
    low = np.concatenate([np.zeros((1, 3)), rng.random((14, 3)) * (160, 120, 0)]) * scale
    high = low + np.concatenate([[[240, 190, 60]], rng.random((14, 3)) * 30 + 8]) * scale
    parts = []
    for a, b in zip(low, high):
        for axis in range(3):
            for end in (a, b):
                points = a + rng.random((int(5 * np.prod(np.delete(b - a, axis))) + 8, 3)) * (b - a)
                points[:, axis] = end[axis]
                parts.append(points)
    pos = np.concatenate(parts)
    cells = (pos + rng.normal(0, 0.16, pos.shape) + 8).astype(np.int64)
    cells = np.unique(np.ravel_multi_index(cells.T, (512,) * 3))
    voxels = np.stack(np.unravel_index(cells, (512,) * 3), 1).astype(np.int32)
    distance = np.square(voxels - voxels[len(voxels) // 2]).sum(1)
    return torch.from_numpy(voxels[np.sort(np.argsort(distance)[:count])])
