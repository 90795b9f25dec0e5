"""Sparse convolution on a GPU with the implicit-GEMM kernels of spconv-triton (``pip install pcseg[gpu]``).

One kernel computes an output tile of all kernel offsets without storing what it gathers. The kernels of release 1.0
are launched with tiles chosen here: its own autotuning compiles 37 candidates per shape of weights, and its choice, and
with it the rounding, differs from run to run.
"""

import logging
import os
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.backends import cuda

from pcseg.errors import reason, require
from pcseg.ops.kernel_map import KernelMap

logger = logging.getLogger("pcseg")

SWITCH = "PCSEG_TRITON"
"""Environment variable; 0 turns these kernels off."""

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
WORD = 32
"""Kernel offsets that a mask has bits for."""

SMALLEST_TILE = 16
"""Narrower features waste most of a matrix instruction."""

SHARED_MEMORY = 1 << 16
"""Bytes of fast memory that a program may use: less than any supported GPU has."""

PROGRAMS = 256
"""Weight gradients are computed by about this many programs: two per multiprocessor of a large GPU."""


def takes(x: Tensor, width: int, kernel_map: KernelMap) -> bool:
    """Return whether these kernels compute a convolution of ``x`` ``(N, C)`` to ``width`` channels."""
    if not x.is_cuda or x.dtype not in DTYPES or min(width, x.shape[1]) < SMALLEST_TILE:
        return False
    if not len(x) or not kernel_map.num_out:
        return False
    return torch.cuda.get_device_capability(x.device) >= (8, 0) and usable(x.device)


@cache
def usable(device: torch.device) -> bool:
    """Return whether the kernels compute a tiny example on ``device``; if they fail, one warning gives the reason."""
    if kernels() is None:
        return False
    start = torch.zeros(1, 1, dtype=torch.int32, device=device)
    single = KernelMap(start=start, pattern=torch.ones_like(start, dtype=torch.uint8), line=1, num_in=1)
    x, weight = (torch.ones(*shape, dtype=torch.float16, device=device) for shape in ((1, 16), (1, 16, 16)))
    try:
        right = bool((product(x, weight, single) == 16).all() and (weight_gradient(x, x, single) == 1).all())
        problem = "wrong results"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # Triton, its compiler and the driver raise many types
        right, problem = False, reason(error)
    if not right:
        logger.warning("spconv-triton fails on %s (%s). Plain PyTorch is used.", device, problem)
    return right


@cache
def kernels() -> ModuleType | None:
    """Return the kernels; ``None`` without them or if :data:`SWITCH` is 0, with one warning if they do not fit."""
    choice = os.environ.get(SWITCH, "1")
    require(choice in ("0", "1"), SWITCH, choice, "Set 0 for plain PyTorch or 1 for spconv-triton.")
    try:
        found = version("spconv-triton")
    except PackageNotFoundError:
        return None
    if choice == "0":
        return None
    try:
        if not found.startswith("1.0."):
            raise ImportError("its kernels may have changed")
        from spconv_triton.pytorch._impl import gemm  # pyright: ignore[reportMissingImports]

        for kernel in (gemm._gather_gemm_kernel, gemm._dweight_masked_kernel):
            kernel.fn.arg_names  # noqa: B018 - launched without the autotuner around it
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        logger.warning(
            "spconv-triton %s cannot be used (%s). Run pip install 'pcseg[gpu]'; plain PyTorch is used.",
            found, reason(error),
        )  # fmt: skip
        return None
    return gemm


@dataclass(frozen=True, eq=False)
class Tables:
    """A kernel map as the kernels read it.

    ``pairs`` ``(K, num_out)`` int32 is the input of every kernel offset and output, -1 for none.
    """

    pairs: Tensor
    line: int

    @cached_property
    def parts(self) -> list[tuple[slice, Tensor, Tensor]]:
        """Kernel offsets in parts, their occupied ones as the bits of a sorted mask, and the outputs in that order.

        Outputs of similar masks share a tile, which visits only the offsets that some of its outputs occupy.
        """
        volume, columns = len(self.pairs), len(self.pairs) // self.line
        count = -(-columns // (WORD // self.line))
        size = -(-columns // count) * self.line
        parts = []
        for first in range(0, volume, size):
            offsets = slice(first, min(first + size, volume))
            occupied = (self.pairs[offsets] >= 0).int()
            bits = torch.arange(len(occupied), dtype=torch.int32, device=occupied.device)
            mask, order = (occupied << bits[:, None]).sum(0, dtype=torch.int32).sort(stable=True)
            parts.append((offsets, mask, order.int()))
        return parts

    @cached_property
    def by_offset(self) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs and outputs of all pairs, offset by offset, and the first pair of every offset; one host wait."""
        occupied = self.pairs >= 0
        index = occupied.flatten().nonzero().squeeze(1)
        first = torch.zeros(len(occupied) + 1, dtype=torch.int32, device=index.device)
        first[1:] = occupied.sum(1).cumsum(0)
        num_out = self.pairs.shape[1]
        return self.pairs.flatten().index_select(0, index), (index % num_out).int(), first


_tables: WeakKeyDictionary[KernelMap, Tables] = WeakKeyDictionary()


def tables(kernel_map: KernelMap) -> Tables:
    """Return the tables of a kernel map, which live as long as it does; rows are those of the features."""
    if kernel_map not in _tables:
        _tables[kernel_map] = Tables(_pairs(kernel_map), kernel_map.line)
    return _tables[kernel_map]


def _pairs(kernel_map: KernelMap) -> Tensor:
    bits = torch.arange(kernel_map.line, dtype=torch.uint8, device=kernel_map.pattern.device)[None, :, None]
    occupied = (kernel_map.pattern[:, None] >> bits) & 1
    pairs = kernel_map.start[:, None] + occupied.cumsum(1, dtype=torch.int32) - occupied
    pairs = pairs.flatten(0, 1)
    unoccupied = (occupied == 0).flatten(0, 1)
    if kernel_map.in_order is not None:
        rows = kernel_map.in_order.int()
        pairs = rows.index_select(0, pairs.masked_fill(unoccupied, 0).flatten()).view_as(pairs)
    pairs = pairs.masked_fill(unoccupied, -1)
    order = kernel_map.out_order
    return pairs if order is None else torch.empty_like(pairs).index_copy_(1, order, pairs)


def product(x: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Compute ``out[q] = sum_k x[p(q, k)] @ weight[k]``; see :func:`pcseg.ops.sparse_conv.gather_product`."""
    table, num_out, width = tables(kernel_map), kernel_map.num_out, weight.shape[2]
    x = x.contiguous()
    total: Tensor | None = None
    for offsets, mask, order in table.parts:
        dtype = x.dtype if len(table.parts) == 1 else torch.float32
        out = torch.empty(num_out, width, dtype=dtype, device=x.device)
        pairs, part = table.pairs[offsets], weight[offsets]
        tile = gemm_tile(x.shape[1], width, x.itemsize)
        grid = (-(-num_out // tile["BLOCK_M"]) * -(-width // tile["BLOCK_N"]),)
        _launch(
            "_gather_gemm_kernel", grid, x,
            (x, part, pairs, out, x, mask, order, num_out, width, x.shape[1], len(pairs)),
            (*x.stride(), *part.stride(), *pairs.stride(), *out.stride()),
            HAS_BIAS=False, USE_MASK=True, **tile,
        )  # fmt: skip
        total = out if total is None else total.add_(out)
    assert total is not None
    return total.to(x.dtype)


def weight_gradient(x: Tensor, grad: Tensor, kernel_map: KernelMap) -> Tensor:
    """Return the gradient of :func:`product` with respect to ``weight``, ``(K, C, C_out)``, accumulated in float32."""
    rows, out_rows, first = tables(kernel_map).by_offset
    volume, channels, width = kernel_map.volume, x.shape[1], grad.shape[1]
    x, grad = x.contiguous(), grad.contiguous()
    tile = gradient_tile(channels, width, x.itemsize)
    tiles = (-(-channels // tile["BLOCK_C"]), -(-width // tile["BLOCK_K"]))
    splits = min(16, -(-PROGRAMS // (volume * tiles[0] * tiles[1])), max(1, len(rows) // (1024 * volume)))
    out = torch.empty(splits, volume, channels, width, dtype=torch.float32, device=x.device)
    split, offset, channel, column = out.stride()
    _launch(
        "_dweight_masked_kernel", (volume * splits, *tiles), x,
        (x, grad, rows, out_rows, first, out, width, channels, volume, splits),
        (*x.stride(), *grad.stride(), column, offset, channel, split), **tile,
    )  # fmt: skip
    return out.sum(0).to(x.dtype)


def _launch(name: str, grid: tuple[int, ...], x: Tensor, values: Any, strides: Any, **constants: Any) -> None:
    """Run a kernel; ``values`` and ``strides`` are its arguments in order."""
    single = x.dtype == torch.float32
    tf32 = single and cuda.matmul.fp32_precision == "tf32"
    with torch.cuda.device_of(x):
        getattr(kernels(), name).fn[grid](
            *values, *strides, IEEE=single, ALLOW_TF32=tf32, FP16_ACC=False, **constants
        )


def gemm_tile(channels: int, width: int, itemsize: int) -> dict[str, int]:
    """Return the tile of :func:`product` for features of ``itemsize`` bytes, much like a candidate of spconv-triton."""
    columns, block = _power(width, 128), _power(channels, 32)
    return {
        "BLOCK_M": 128, "BLOCK_N": columns, "BLOCK_R": block, "GROUP_SIZE_M": 8,
        "num_warps": 8 if columns == 128 else 4, "num_stages": _stages(itemsize * block * (128 + columns)),
    }  # fmt: skip


def gradient_tile(channels: int, width: int, itemsize: int) -> dict[str, int]:
    """Return the tile of :func:`weight_gradient`."""
    block = _power(min(channels, width), 64)
    rows = 128 if block < 64 else 64
    stages = _stages(itemsize * rows * 2 * block)
    return {"BLOCK_P": rows, "BLOCK_K": block, "BLOCK_C": block, "num_warps": 4, "num_stages": stages}


def _stages(size: int) -> int:
    """Return the number of stages of ``size`` bytes that are loaded ahead."""
    return min(4, max(2, SHARED_MEMORY // size))


def _power(width: int, most: int) -> int:
    """Return the power of two that holds ``width``, from 16 to ``most``."""
    return min(max(SMALLEST_TILE, 1 << (width - 1).bit_length()), most)
