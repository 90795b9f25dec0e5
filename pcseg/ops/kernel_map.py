"""Kernel maps: the input rows that every output row of a sparse convolution reads.

The offsets of a cubic kernel form columns along z. Inputs are sorted by (cloud, x, y, z), so the occupied offsets of a
column are consecutive input rows, and one column of an output is stored as a first row and a bit pattern. Outputs with
the same column and pattern are multiplied by the same weights after one gather of whole windows, without zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

MAX_KERNEL = 8  # bits of a pattern
# Outputs per block and rows per group: few enough for the cache, enough for a fast matrix product.
BLOCK_ROWS = 1 << 14
GROUP_ROWS = 1 << 12


class ProductGroup(NamedTuple):
    """Outputs of a block that read the same kernel offsets of one column.

    ``start`` (n,) int32 holds the first inputs and ``rows`` (n,) int32 the outputs, both in sorted order.
    """

    offsets: tuple[int, ...]
    start: Tensor
    rows: Tensor


class OutputBlock(NamedTuple):
    """Consecutive outputs, and the products of all groups that sum to them.

    ``sizes`` are the numbers of rows of the groups. ``entries`` (outputs, columns) int32 are rows of the concatenated
    products; ``sum(sizes)`` stands for none.
    """

    groups: list[ProductGroup]
    sizes: list[int]
    entries: Tensor


@dataclass(kw_only=True, eq=False)
class KernelMap:
    """Input rows that every output reads, by columns of the kernel.

    Args:
        start: First input of every column and output, ``(columns, num_out)`` int32, in sorted order.
        pattern: Bit j is set if offset j of the column is occupied, ``(columns, num_out)`` uint8.
        line: Kernel offsets per column; offset j of column c is entry ``c * line + j`` of the weight.
        num_in: Number of inputs.
        in_order: Rows of the inputs in sorted order, ``None`` if they are sorted.
        out_order: Rows of the outputs in sorted order, ``None`` if they are sorted.
        pairs: Kernel offset, input and output, in sorted order, of all that meet, ``(P,)`` int64 each; ``None`` if
            opposite offsets are mutually inverse, as in a submanifold convolution.
    """

    start: Tensor
    pattern: Tensor
    line: int
    num_in: int
    in_order: Tensor | None = None
    out_order: Tensor | None = None
    pairs: tuple[Tensor, Tensor, Tensor] | None = None

    @property
    def num_columns(self) -> int:
        return self.pattern.shape[0]

    @property
    def num_out(self) -> int:
        return self.pattern.shape[1]

    @property
    def volume(self) -> int:
        """Number of kernel offsets."""
        return self.num_columns * self.line

    @cached_property
    def num_pairs(self) -> int:
        """Occupied kernel offsets, summed over all outputs."""
        return int(sum((self.pattern >> bit & 1).sum() for bit in range(self.line)))

    @cached_property
    def transposed(self) -> KernelMap:
        """The map from outputs to inputs, for the input gradient and the inverse convolution.

        Convention:
            Its kernel offsets run in reverse order: use it with ``weight.flip(0)``.
        """
        if self.pairs is None:
            return self
        offset, into, out = self.pairs
        back = self.volume - 1 - offset, out, into
        return map_from_pairs(
            back, self.line, self.num_out, self.num_in, in_order=self.out_order, out_order=self.in_order
        )

    @cached_property
    def blocks(self) -> list[OutputBlock]:
        """Outputs in blocks, grouped by column and pattern."""
        return [self._block(first, first + BLOCK_ROWS) for first in range(0, self.num_out, BLOCK_ROWS)]

    def _block(self, first: int, last: int) -> OutputBlock:
        pattern = self.pattern[:, first:last]
        columns, num = pattern.shape
        code = torch.arange(columns, dtype=torch.int16, device=pattern.device)[:, None] << self.line
        code = torch.where(pattern > 0, code + pattern, 0).flatten()
        code, order = code.sort(stable=True)
        empty, *counts = torch.bincount(code, minlength=1).tolist()
        order = order[empty:]
        numbers = torch.arange(max(num, len(order)), dtype=torch.int32, device=order.device)
        entries = torch.full((columns * num,), len(order), dtype=torch.int32, device=order.device)
        entries.scatter_(0, order, numbers[: len(order)])
        start = self.start[:, first:last].flatten().index_select(0, order).split(counts)
        rows = (numbers[:num] + first).repeat(columns).index_select(0, order).split(counts)
        groups = [
            ProductGroup(self._offsets(bits), *part)
            for bits, count in enumerate(counts, 1)
            if count
            for part in zip(start[bits - 1].split(GROUP_ROWS), rows[bits - 1].split(GROUP_ROWS))
        ]
        sizes = [len(group.rows) for group in groups]
        return OutputBlock(groups, sizes, entries.view(columns, num).t().contiguous())

    def _offsets(self, code: int) -> tuple[int, ...]:
        column, bits = divmod(code, 1 << self.line)
        return tuple(column * self.line + bit for bit in range(self.line) if bits >> bit & 1)

    @cached_property
    def neighbors(self) -> Tensor:
        """Input of every output and kernel offset, ``(num_out, volume)`` int32, sorted; ``num_in`` for none."""
        table = self.start.new_empty(self.num_columns, self.line, self.num_out)
        into = self.start.clone()
        for bit in range(self.line):
            occupied = self.pattern >> bit & 1
            table[:, bit] = into.masked_fill(occupied == 0, self.num_in)
            into += occupied
        return table.flatten(0, 1).t().contiguous()


def map_from_pairs(
    pairs: tuple[Tensor, Tensor, Tensor],
    line: int,
    num_in: int,
    num_out: int,
    *,
    in_order: Tensor | None,
    out_order: Tensor | None,
) -> KernelMap:
    """Return the kernel map of a cubic kernel with edge ``line`` from all that meet, see :attr:`KernelMap.pairs`."""
    offset, into, out = pairs
    start = torch.full((line**2 * num_out,), num_in, dtype=torch.int32, device=out.device)
    pattern = torch.zeros_like(start, dtype=torch.uint8)
    at = offset.div(line, rounding_mode="floor") * num_out + out
    start.scatter_reduce_(0, at, into.int(), "amin")
    # outputs of one kernel offset are distinct: every bit is added once
    pattern.scatter_add_(0, at, (1 << offset % line).to(torch.uint8))
    return KernelMap(
        start=start.view(-1, num_out), pattern=pattern.view(-1, num_out), line=line,
        num_in=num_in, in_order=in_order, out_order=out_order, pairs=pairs,
    )  # fmt: skip
