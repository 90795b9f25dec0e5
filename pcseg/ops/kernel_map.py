"""Which input rows each output row of a sparse convolution reads.

The places of a cubic kernel fall into columns along z. Inputs are held in ascending (cloud, x, y, z), so the occupied
places of a column are consecutive input rows, whatever is missing between them: a column of an output is a first row
and a pattern of bits. Outputs that share a column and a pattern are multiplied by the same weights with no zero among
the factors, after one gather of whole windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

MAX_KERNEL = 8  # bits of a pattern
# Outputs of a block and rows of a group: few enough for the cache, enough for a matrix product to be fast.
BLOCK_ROWS = {"cpu": 1 << 14, "cuda": 1 << 18}
GROUP_ROWS = {"cpu": 1 << 12, "cuda": 1 << 18}


class ProductGroup(NamedTuple):
    """Outputs of a block that see the same places of one column.

    ``start`` (n,) int32 are the first inputs, ``rows`` (n,) int32 the outputs, in sorted order both.
    """

    places: tuple[int, ...]
    start: Tensor
    rows: Tensor


class OutputBlock(NamedTuple):
    """Some outputs: the products of all groups, one after the other, and which of them to add.

    ``sizes`` are those of the groups; ``entries`` (outputs, columns) int32 number the products, and their sum
    stands for none.
    """

    groups: list[ProductGroup]
    sizes: list[int]
    entries: Tensor


@dataclass(kw_only=True, eq=False)
class KernelMap:
    """Input rows that every output reads, by columns of the kernel.

    Args:
        start: First input of every column and output, ``(columns, num_out)`` int32; both in sorted order.
        pattern: Bit j is set where place j of the column is occupied, ``(columns, num_out)`` uint8.
        line: Places in a column; place j of column c is entry ``c * line + j`` of the weight.
        num_in: Number of inputs.
        in_order: Row of every input in sorted order, ``None`` where rows are sorted.
        out_order: The same of the outputs.
        symmetric: Opposite places lead back and forth, as in a submanifold convolution.
    """

    start: Tensor
    pattern: Tensor
    line: int
    num_in: int
    in_order: Tensor | None = None
    out_order: Tensor | None = None
    symmetric: bool = False

    @property
    def num_columns(self) -> int:
        return self.pattern.shape[0]

    @property
    def num_out(self) -> int:
        return self.pattern.shape[1]

    @property
    def volume(self) -> int:
        """Places of the kernel."""
        return self.num_columns * self.line

    @cached_property
    def num_pairs(self) -> int:
        """Occupied places of all outputs together."""
        return int(sum((self.pattern >> place & 1).sum() for place in range(self.line)))

    @cached_property
    def transposed(self) -> KernelMap:
        """The map from outputs back to inputs: of the input gradient and of the inverse convolution.

        Convention:
            Its places are counted from the other end: use it with ``weight.flip(0)``.
        """
        if self.symmetric:
            return self
        back = [(out, into) for into, out in self.pairs()][::-1]
        return map_from_pairs(
            back, self.line, self.num_out, self.num_in, in_order=self.out_order, out_order=self.in_order
        )

    @cached_property
    def blocks(self) -> list[OutputBlock]:
        """Outputs in blocks, grouped by column and pattern."""
        size = of_device(BLOCK_ROWS, self.pattern)
        return [self._block(first, first + size) for first in range(0, self.num_out, size)]

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
        limit = of_device(GROUP_ROWS, pattern)
        groups = [
            ProductGroup(self._places(bits), *part)
            for bits, count in enumerate(counts, 1)
            if count
            for part in zip(start[bits - 1].split(limit), rows[bits - 1].split(limit))
        ]
        sizes = [len(group.rows) for group in groups]
        return OutputBlock(groups, sizes, entries.view(columns, num).t().contiguous())

    def _places(self, code: int) -> tuple[int, ...]:
        column, bits = divmod(code, 1 << self.line)
        return tuple(column * self.line + place for place in range(self.line) if bits >> place & 1)

    @cached_property
    def neighbors(self) -> Tensor:
        """Input of every output and place, ``(num_out, volume)`` int32, in sorted order both; ``num_in`` for none."""
        table = self.start.new_empty(self.volume, self.num_out)
        row = 0
        for start, pattern in zip(self.start, self.pattern):
            into = start.clone()
            for place in range(self.line):
                occupied = pattern >> place & 1
                table[row] = into.masked_fill(occupied == 0, self.num_in)
                into += occupied
                row += 1
        return table.t().contiguous()

    def pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and outputs, both in sorted order, that meet at place 0, at place 1, ..."""
        for start, pattern in zip(self.start, self.pattern):
            into = start.clone()
            for place in range(self.line):
                occupied = pattern >> place & 1
                out = occupied.nonzero().squeeze(1)
                yield into[out], out
                into += occupied


def of_device(limits: dict[str, int], tensor: Tensor) -> int:
    """The limit for the kind of device that ``tensor`` is on."""
    return limits["cpu" if tensor.device.type == "cpu" else "cuda"]


def map_from_pairs(
    pairs: Sequence[tuple[Tensor, Tensor]],
    line: int,
    num_in: int,
    num_out: int,
    *,
    in_order: Tensor | None,
    out_order: Tensor | None,
) -> KernelMap:
    """A map from the (inputs, outputs) that meet at every place, see :meth:`KernelMap.pairs`."""
    device = pairs[0][0].device
    start = torch.full((len(pairs) // line, num_out), num_in, dtype=torch.int32, device=device)
    pattern = torch.zeros_like(start, dtype=torch.uint8)
    for place, (into, out) in enumerate(pairs):
        column, bit = divmod(place, line)
        # outputs of one place are distinct
        start[column].scatter_(0, out, start[column].index_select(0, out).minimum(into.int()))
        pattern[column].scatter_(0, out, pattern[column].index_select(0, out) + (1 << bit))
    return KernelMap(
        start=start, pattern=pattern, line=line, num_in=num_in, in_order=in_order, out_order=out_order
    )
