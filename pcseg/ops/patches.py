"""Attention within patches: runs of consecutive rows of equal length, as in Point Transformer V3."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from pcseg.ops.flash import Sequences, flash_attention, takes_flash

BIAS_ENTRIES = 1 << 22
"""Entries of a bias that are computed at once."""

PairBias = Callable[[Tensor, Tensor], Tensor]
"""Maps the rows of queries ``(P, Q)`` and of keys ``(P, K)`` to a bias of their logits, ``(P, H, Q, K)``."""


class Run(NamedTuple):
    """``count`` patches of ``length`` consecutive rows each; their keys start ``borrowed`` rows earlier."""

    first: int
    count: int
    length: int
    borrowed: int

    @property
    def rows(self) -> int:
        return self.count * self.length

    @property
    def keys(self) -> slice:
        """Rows of the keys."""
        return slice(self.first - self.borrowed, self.first + self.rows)


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of a batch of clouds, see :func:`cut_patches`."""

    runs: list[Run]
    device: torch.device

    def short_runs(self, rows: int) -> list[Run]:
        """Split the runs into parts of about ``rows`` rows."""
        parts = []
        for run in self.runs:
            count = max(1, rows // run.length)
            for patch in range(0, run.count, count):
                first = run.first + patch * run.length
                parts.append(run._replace(first=first, count=min(count, run.count - patch)))
        return parts

    @cached_property
    def borrowed_rows(self) -> Tensor | None:
        """Rows of the keys of all patches that borrow rows, patch by patch."""
        spans = [range(run.first - run.borrowed, run.first + run.length) for run in self.runs if run.borrowed]
        rows = [torch.arange(span.start, span.stop, device=self.device) for span in spans]
        return torch.cat(rows) if rows else None

    def borrowed_keys(self, x: Tensor) -> Sequence[Tensor]:
        """Return the keys in ``x`` of every patch that borrows rows.

        Selected at once, because the gradient of each overlapping slice would be a tensor of full size.
        """
        if self.borrowed_rows is None:
            return ()
        return x.index_select(0, self.borrowed_rows).split(
            [run.length + run.borrowed for run in self.runs if run.borrowed]
        )

    @cached_property
    def sequences(self) -> tuple[Sequences, Tensor | None]:
        """The patches as sequences, and rows of their keys if they are not those of the queries."""
        runs = torch.tensor(self.runs, dtype=torch.int32).view(-1, 4)
        length, borrowed = runs[:, 2:].repeat_interleave(runs[:, 1], 0).unbind(1)
        starts = torch.stack([length, length + borrowed]).cumsum(1, dtype=torch.int32)
        starts = pad(starts, (1, 0)).to(self.device, non_blocking=True)
        total = sum(run.rows + run.borrowed for run in self.runs)
        rows = None
        if self.borrowed_rows is not None:  # keys lie before the queries by all that was borrowed so far
            behind = borrowed.cumsum(0).to(self.device, non_blocking=True)
            key_lengths = starts[1].diff()
            rows = torch.arange(total, device=self.device)
            rows -= behind.repeat_interleave(key_lengths, output_size=total)
        longest = max((run.length + run.borrowed for run in self.runs), default=0)
        return Sequences(starts[0], starts[1], longest), rows


def cut_patches(ptr: Tensor, size: int, device: torch.device) -> Patches:
    """Cut every cloud into patches of ``size`` rows.

    Args:
        ptr: First row of every cloud, ``(B + 1,)``.
        size: Rows per patch.
        device: Device of the rows.

    Convention:
        The remaining rows at the end of a cloud attend to each other and to the rows before them, ``size`` keys in
        all, as published; those earlier rows do not attend to them. A cloud with fewer rows is one patch.
    """
    runs = []
    bounds = ptr.tolist()
    for first, last in pairwise(bounds):
        whole, rest = divmod(last - first, size)
        if whole:
            runs.append(Run(first, whole, size, 0))
        if rest:
            runs.append(Run(last - rest, 1, rest, size - rest if whole else 0))
    return Patches(runs, device)


def patch_attention(
    query: Tensor, key: Tensor, value: Tensor, patches: Patches, *, scale: float, bias: PairBias | None = None
) -> Tensor:
    """Attend from every row to the keys of its patch.

    Args:
        query: ``(N, H, D)``, cloud by cloud.
        key: ``(N, H, D)``.
        value: ``(N, H, D)``.
        bias: Added to the logits; computed in blocks, because it is as large as the matrix of weights.

    Returns:
        ``(N, H, D)``.

    Convention:
        No matrix of weights is stored. In half precision on a GPU all patches take one call of a kernel for
        sequences of different lengths, otherwise the complete patches of a cloud take one call and its last patch
        another.
    """
    if bias is None and takes_flash(query, query.shape[2]):
        sequences, rows = patches.sequences
        if rows is not None:
            key, value = key.index_select(0, rows), value.index_select(0, rows)
        return flash_attention(query, key, value, sequences, scale=scale)
    sizes = [run.rows for run in patches.runs]
    keys, values = key.split(sizes), value.split(sizes)
    if patches.borrowed_rows is not None:
        keys, values = (_with_borrowed(x, parts, patches) for x, parts in ((key, keys), (value, values)))
    parts = zip(patches.runs, query.split(sizes), keys, values)
    out = [attend_run(run, q, k, v, scale, bias) for run, q, k, v in parts]
    return torch.cat(out) if out else query.new_empty(query.shape)


def _with_borrowed(x: Tensor, parts: Sequence[Tensor], patches: Patches) -> list[Tensor]:
    """Return the rows of every run, preceded by the rows that it borrows."""
    borrowed = iter(patches.borrowed_keys(x))
    return [next(borrowed) if run.borrowed else part for run, part in zip(patches.runs, parts)]


def attend_run(
    run: Run, query: Tensor, key: Tensor, value: Tensor, scale: float, bias: PairBias | None
) -> Tensor:
    """Attend within one run, see :func:`patch_attention`; keys and values include the borrowed rows."""
    heads, width = query.shape[1:]
    query, key, value = (x.reshape(run.count, -1, heads, width).transpose(1, 2) for x in (query, key, value))
    if bias is None:
        out = scaled_dot_product_attention(query, key, value, scale=scale)
        return out.transpose(1, 2).reshape(run.rows, heads, width)
    rows = run.first + torch.arange(run.rows, device=query.device).view(run.count, run.length)
    seen = rows if not run.borrowed else torch.arange(run.first - run.borrowed, run.first + run.length)[None]
    block = max(1, BIAS_ENTRIES // (heads * run.length * key.shape[2]))
    parts = zip(*(x.split(block) for x in (query, key, value, rows, seen.to(query.device))))
    out = [
        scaled_dot_product_attention(q, k, v, attn_mask=bias(at, near).to(q.dtype), scale=scale)
        for q, k, v, at, near in parts
    ]
    return torch.cat(out).transpose(1, 2).reshape(run.rows, heads, width)
