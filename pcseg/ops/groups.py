"""Partitions of tokens into groups of any size, stored as compressed rows and processed in padded blocks."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

PAIRS_PER_BLOCK = {"cpu": 1 << 18, "cuda": 1 << 22}
"""Pairs of tokens processed at once: bounds the memory of a block, whatever the size of the groups."""

BLOCK_GROWTH = 1.15
"""Groups share a block if their sizes differ by less than about this factor: bounds the padding."""

SMALL_BLOCK = {"cpu": 1 << 15, "cuda": 1 << 20}
"""Pairs up to which groups share a block whatever their sizes: padding costs less than another block."""


class Members(NamedTuple):
    """Tokens ``index`` (G, L) of G groups side by side, -1 after the end of a shorter group.

    If they are evenly spaced, ``spacing`` is ``(start, group, member)``: member i of group g is token
    ``start + g * group + i * member``. Their rows are then a view and need no gather.
    """

    index: Tensor
    spacing: tuple[int, int, int] | None = None

    def rows(self, x: Tensor) -> Tensor:
        """Return the rows of ``x`` ``(N, C)``, ``(G, L, C)``; padding reads row 0."""
        if self.spacing is None:
            return x.index_select(0, self.index.clamp(min=0).flatten()).view(*self.index.shape, -1)
        rows = self._view(x, self.spacing)
        return rows if 1 in rows.stride()[1:] else rows.contiguous()  # otherwise every product copies them

    def add_product(self, x: Tensor, a: Tensor, b: Tensor) -> None:
        """Add ``a @ b`` ``(G, L, C)`` to the rows of ``x``; padding adds its zeros to row 0."""
        if self.spacing is None:
            x.index_add_(0, self.index.clamp(min=0).flatten(), (a @ b).flatten(0, 1).to(x.dtype))
        elif x.dtype == a.dtype:
            self._view(x, self.spacing).baddbmm_(a, b)
        else:
            self._view(x, self.spacing).add_(a @ b)

    def _view(self, x: Tensor, spacing: tuple[int, int, int]) -> Tensor:
        start, group, member = spacing
        row, channel = x.stride()
        stride = (group * row, member * row, channel)
        return x.as_strided((*self.index.shape, x.shape[1]), stride, x.storage_offset() + start * row)


class GroupBlock(NamedTuple):
    """Groups of similar size side by side, or a part of the queries of one large group.

    The queries are the columns ``first : first + Q`` of the keys. ``padded``: some group is shorter than others.
    """

    queries: Members
    keys: Members
    first: int
    padded: bool


@dataclass(kw_only=True, eq=False)
class Groups:
    """A partition: every token is in exactly one group.

    Args:
        order: Tokens sorted by group, ``(N,)`` int64.
        ptr: Where each group starts in ``order``, ``(G+1,)`` int64 with ``ptr[0] = 0`` and ``ptr[-1] = N``.
        regular: Whether to look for an even spacing of the tokens of each block, as in images.
        bound: Largest possible size of a group, if it is known.
    """

    order: Tensor
    ptr: Tensor
    regular: bool = False
    bound: int | None = None

    @cached_property
    def longest(self) -> int:
        """A bound of the size of all groups."""
        return int(self.ptr.diff().max()) if self.bound is None else self.bound

    @cached_property
    def id(self) -> Tensor:
        """Group of every token, ``(N,)`` int64."""
        sorted_ids = torch.repeat_interleave(self.ptr.diff(), output_size=len(self.order))
        return torch.empty_like(self.order).scatter_(0, self.order, sorted_ids)

    @cached_property
    def blocks(self) -> list[GroupBlock]:
        """All groups of two or more tokens, in blocks of at most :data:`PAIRS_PER_BLOCK` pairs.

        Convention:
            Every token is a query in exactly one block. Groups of one token have no pairs and are left out.
        """
        sizes = self.ptr.diff()
        by_size = torch.argsort(sizes, stable=True)
        ascending = sizes[by_size].tolist()
        blocks = []
        start = next((i for i, size in enumerate(ascending) if size > 1), len(ascending))
        while start < len(ascending):
            stop = _block_end(ascending, start, self._limit(SMALL_BLOCK), self._limit(PAIRS_PER_BLOCK))
            padded = ascending[start] < ascending[stop - 1]
            blocks += self._cut(by_size[start:stop], ascending[stop - 1], padded)
            start = stop
        return blocks

    def _limit(self, limits: dict[str, int]) -> int:
        return limits.get(self.order.device.type, limits["cuda"])

    def _cut(self, groups: Tensor, longest: int, padded: bool) -> list[GroupBlock]:
        position = self.ptr[groups, None] + torch.arange(longest, device=self.order.device)
        outside = position >= self.ptr[groups + 1, None]
        keys = self.order[position.clamp(max=len(self.order) - 1)].masked_fill(outside, -1)
        width = max(1, self._limit(PAIRS_PER_BLOCK) // keys.numel())
        members = Members(keys, _spacing(keys) if self.regular else None)
        return [
            GroupBlock(_columns(members, i, i + width), members, i, padded) for i in range(0, longest, width)
        ]


def _block_end(ascending: list[int], start: int, small: int, max_pairs: int) -> int:
    """Return the end of the run of sizes that share a block with the one at ``start``."""
    stop = start + 1
    while stop < len(ascending):
        size = ascending[stop]
        pairs = (stop + 1 - start) * size**2
        if pairs > max_pairs or (pairs > small and size > ascending[start] * BLOCK_GROWTH):
            break
        stop += 1
    return stop


def _columns(members: Members, first: int, last: int) -> Members:
    """Return members ``first : last`` of every group."""
    if members.spacing is None:
        return Members(members.index[:, first:last])
    start, group, member = members.spacing
    return Members(members.index[:, first:last], (start + first * member, group, member))


def _spacing(keys: Tensor) -> tuple[int, int, int] | None:
    """Return the spacing of the tokens ``keys`` ``(G, L)``, see :class:`Members`, if they are evenly spaced."""
    start = int(keys[0, 0])
    group = int(keys[1, 0]) - start if len(keys) > 1 else 0
    member = int(keys[0, 1]) - start
    along = [torch.arange(edge, device=keys.device) for edge in keys.shape]
    even = start + group * along[0][:, None] + member * along[1]
    return (start, group, member) if group >= 0 < member and torch.equal(keys, even) else None


def group_by(key: Tensor, *, bound: int | None = None) -> Groups:
    """Group the tokens with equal ``key`` ``(N,)`` int64; groups ascend by their key. ``bound`` as in :class:`Groups`.

    Convention:
        Stable: the tokens of a group keep their order.
    """
    sorted_key, order = torch.sort(key, stable=True)
    _, counts = torch.unique_consecutive(sorted_key, return_counts=True)
    return Groups(order=order, ptr=torch.cat([counts.new_zeros(1), counts.cumsum(0)]), bound=bound)


def regular_groups(tokens: Tensor) -> Groups:
    """Return the rows of ``tokens`` ``(G, L)`` int64 as groups of equal size."""
    count, size = tokens.shape
    ptr = torch.arange(count + 1, device=tokens.device) * size
    return Groups(order=tokens.reshape(-1), ptr=ptr, regular=True, bound=size)
