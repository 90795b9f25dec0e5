"""Attention inside patches: runs of equal length of the rows of every cloud, in the order they come in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

BIAS_ENTRIES = 1 << 22
"""Entries of a bias that exist at once."""

PairBias = Callable[[Tensor, Tensor], Tensor]
"""From rows of queries ``(P, Q)`` and of keys ``(P, K)`` to what is added to their logits, ``(P, H, Q, K)``."""


class Run(NamedTuple):
    """``count`` patches of ``length`` consecutive rows each; their keys begin ``borrowed`` rows earlier."""

    first: int
    count: int
    length: int
    borrowed: int

    @property
    def rows(self) -> int:
        return self.count * self.length


@dataclass(frozen=True, eq=False)
class Patches:
    """How the rows of a batch of clouds are cut, see :func:`cut_patches`."""

    runs: list[Run]
    device: torch.device

    def short_runs(self, rows: int) -> list[Run]:
        """The runs in parts of about ``rows`` rows."""
        parts = []
        for run in self.runs:
            count = max(1, rows // run.length)
            for patch in range(0, run.count, count):
                first = run.first + patch * run.length
                parts.append(run._replace(first=first, count=min(count, run.count - patch)))
        return parts

    @cached_property
    def borrowed_rows(self) -> Tensor | None:
        """Keys of all patches that borrow, one patch after the other."""
        spans = [range(run.first - run.borrowed, run.first + run.length) for run in self.runs if run.borrowed]
        rows = [torch.arange(span.start, span.stop, device=self.device) for span in spans]
        return torch.cat(rows) if rows else None

    def lent(self, x: Tensor) -> Sequence[Tensor]:
        """What every patch that borrows sees of ``x``, in turn.

        Taken at once: the gradient of many overlapping slices would be as many tensors of full size.
        """
        if self.borrowed_rows is None:
            return ()
        return x.index_select(0, self.borrowed_rows).split(
            [run.length + run.borrowed for run in self.runs if run.borrowed]
        )

    @cached_property
    def sequences(self) -> tuple[Tensor, Tensor, Tensor | None, int]:
        """For kernels that take sequences: where patches start among queries and keys, rows of keys, longest."""
        queries = [run.length for run in self.runs for _ in range(run.count)]
        keys = [run.length + run.borrowed for run in self.runs for _ in range(run.count)]
        rows = None
        if self.borrowed_rows is not None:
            spans = [torch.arange(run.first - run.borrowed, run.first + run.rows) for run in self.runs]
            rows = torch.cat(spans).to(self.device)
        starts = [
            torch.tensor([0, *lengths], dtype=torch.int32, device=self.device).cumsum(0, dtype=torch.int32)
            for lengths in (queries, keys)
        ]
        return starts[0], starts[1], rows, max(keys, default=0)


def cut_patches(ptr: Tensor, size: int) -> Patches:
    """Cut every cloud into patches of ``size`` rows.

    Args:
        ptr: Where the clouds start, ``(B + 1,)``.
        size: Rows of a patch.

    Convention:
        The rows left over at the end of a cloud see each other and so many of the rows before them that there are
        ``size`` keys, as published; those rows do not see them. A cloud of fewer rows is one patch.
    """
    runs = []
    bounds = ptr.tolist()
    for first, last in pairwise(bounds):
        whole, rest = divmod(last - first, size)
        if whole:
            runs.append(Run(first, whole, size, 0))
        if rest:
            runs.append(Run(last - rest, 1, rest, size - rest if whole else 0))
    return Patches(runs, ptr.device)


def patch_attention(
    query: Tensor, key: Tensor, value: Tensor, patches: Patches, *, scale: float, bias: PairBias | None = None
) -> Tensor:
    """Softmax attention of every row over the keys of its patch.

    Args:
        query: ``(N, H, D)``, clouds one after the other.
        key: ``(N, H, D)``.
        value: ``(N, H, D)``.
        patches: How the rows are cut.
        scale: Factor of the dot products.
        bias: What is added to the logits of pairs; in blocks, for it is as large as the matrix of weights.

    Returns:
        ``(N, H, D)``. No matrix of weights is kept: in half precision on a GPU all patches are one call of a
        kernel for sequences of different lengths, otherwise one call for the whole patches of a cloud and one for
        its last.
    """
    if bias is None and _sequences_pay(query):
        return _attend_sequences(query, key, value, patches, scale)
    sizes = [run.rows for run in patches.runs]
    keys, values = key.split(sizes), value.split(sizes)
    if patches.borrowed_rows is not None:
        keys, values = (_with_borrowed(x, parts, patches) for x, parts in ((key, keys), (value, values)))
    parts = zip(patches.runs, query.split(sizes), keys, values)
    out = [attend_run(run, q, k, v, scale, bias) for run, q, k, v in parts]
    return torch.cat(out) if out else query.new_empty(query.shape)


def _with_borrowed(x: Tensor, parts: Sequence[Tensor], patches: Patches) -> list[Tensor]:
    """The rows of every run, and what it borrows before them."""
    lent = iter(patches.lent(x))
    return [next(lent) if run.borrowed else part for run, part in zip(patches.runs, parts)]


def attend_run(
    run: Run, query: Tensor, key: Tensor, value: Tensor, scale: float, bias: PairBias | None
) -> Tensor:
    """Attention of one run, as in :func:`patch_attention`; keys and values are those of the run and what it borrows."""
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


def _attend_sequences(query: Tensor, key: Tensor, value: Tensor, patches: Patches, scale: float) -> Tensor:
    query_starts, key_starts, rows, longest = patches.sequences
    if rows is not None:
        key, value = key.index_select(0, rows), value.index_select(0, rows)
    # not every release takes a scale: bring the queries to the one that all use
    natural = query.shape[-1] ** -0.5
    query = query if scale == natural else query * (scale / natural)
    kernel = _varlen_attention()
    assert kernel is not None
    return kernel(query, key, value, query_starts, key_starts, longest, longest)


def _sequences_pay(query: Tensor) -> bool:
    """Whether a kernel for sequences is there and takes these tensors."""
    half = query.dtype in (torch.float16, torch.bfloat16)
    if not half or query.device.type != "cuda" or query.shape[-1] % 8 or not len(query):
        return False
    return _varlen_attention() is not None and torch.cuda.get_device_capability(query.device) >= (8, 0)


@cache
def _varlen_attention() -> Callable | None:
    try:
        return import_module("torch.nn.attention.varlen").varlen_attn
    except (ImportError, AttributeError):  # since torch 2.10
        return None
