"""Pool tokens over their cloud (or image), and spread vectors of clouds to their tokens."""

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from pcseg.errors import UserError

T = TypeVar("T")


class Clouds:
    """Tokens of a batch of clouds, and a cache of what layers compute from their positions.

    Args:
        ptr: First row of every cloud and N at the end, ``(B + 1,)``; a cloud may be empty.
        count: N.
        device: Device of the tokens.

    Raises:
        UserError: ``ptr`` does not fit.

    Convention:
        :attr:`ptr` is kept on the CPU: sizes of clouds are read by Python, which would wait for a GPU each time.
    """

    def __init__(self, ptr: Tensor, count: int, device: torch.device) -> None:
        ptr = ptr.cpu()
        bounds = ptr.tolist() if ptr.ndim == 1 and not ptr.is_floating_point() else []
        if not bounds or bounds[0] != 0 or bounds[-1] != count or sorted(bounds) != bounds:
            raise UserError(f"ptr: must ascend from 0 to {count}, the number of rows.")
        self.ptr = ptr.long()
        self.device = device
        self._count = count
        self._cache: dict[Hashable, object] = {}

    def __len__(self) -> int:
        return self._count

    def cached(self, key: Hashable, build: Callable[[], T]) -> T:
        """Return ``build()``, computed once per ``key``: kernel maps, neighbors and lines are shared by all layers."""
        if key not in self._cache:
            self._cache[key] = build()
        return self._cache[key]  # pyright: ignore[reportReturnType]

    @property
    def num_clouds(self) -> int:
        return len(self.ptr) - 1

    @cached_property
    def batch(self) -> Tensor:
        """Cloud of every row, ``(N,)`` int64."""
        return cloud_of_rows(self.ptr, len(self), self.device)


def cloud_of_rows(ptr: Tensor, count: int, device: torch.device) -> Tensor:
    """Return the cloud of every row, ``(count,)`` int64, on ``device``; ``ptr`` as in :class:`Clouds`."""
    clouds = torch.arange(len(ptr) - 1, device=device)
    return clouds.repeat_interleave(ptr.diff().to(device, non_blocking=True), output_size=count)


def cloud_ptr(
    x: Tensor, ptr: Tensor | None, batch: Tensor | None, *, num_clouds: int | None = None
) -> Tensor:
    """Return the first row of every cloud of tokens ``x`` ``(N, ...)``, and N at the end, ``(B+1,)`` int64.

    Args:
        ptr: The result, if it is known; clouds may be empty.
        batch: PyG's number of the cloud of every token, ``(N,)``; used without ``ptr``. Default: a single cloud.
        num_clouds: B, if some of them may be empty.

    Raises:
        UserError: ``batch`` does not fit the tokens, is not sorted, or skips a number.
    """
    if ptr is not None:
        return ptr
    if batch is None:
        return torch.tensor([0, len(x)])
    if batch.shape != (len(x),) or batch.is_floating_point() or batch.dtype == torch.bool:
        raise UserError(
            f"batch: has type {batch.dtype} and shape {tuple(batch.shape)}. Pass {len(x)} integers, one per token."
        )
    steps = batch.diff()
    if bool((steps < 0).any()):
        raise UserError("batch: is not sorted. Sort the tokens by cloud, as torch_geometric.data.Batch does.")
    if num_clouds is None and bool((batch[:1] != 0).any() or (steps > 1).any()):
        raise UserError(
            "batch: skips a number. Number the clouds 0, 1, 2, …, or pass ptr if a cloud is empty."
        )
    if num_clouds is not None and bool((batch[:1] < 0).any() or (batch[-1:] >= num_clouds).any()):
        raise UserError(f"batch: has numbers beyond the {num_clouds} clouds. Number them from 0.")
    counts = torch.bincount(batch.long(), minlength=num_clouds or 0)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def split_clouds(x: Tensor, ptr: Tensor) -> tuple[Tensor, ...]:
    """Return the rows of every cloud, as views of ``x`` ``(N, ...)``; a cloud may be empty."""
    return x.split(ptr.diff().tolist())


def cloud_mean(x: Tensor, ptr: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean over the rows of every cloud, ``(N, C)`` to ``(B, C)``; zeros for an empty cloud.

    Args:
        ptr: First row of every cloud and N at the end, ``(B+1,)``.
        weight: Weight of each token, ``(N,)``; default: 1.

    Convention:
        Half precision is summed in float32: sums over a room overflow float16.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    if weight is None:
        means = [rows.sum(0, dtype=dtype) / max(len(rows), 1) for rows in split_clouds(x, ptr)]
        return torch.stack(means).to(x.dtype)
    weight = weight.to(dtype)
    clouds = zip(split_clouds(x, ptr), split_clouds(weight, ptr))
    means = [w @ rows.to(dtype) / w.sum().clamp(min=torch.finfo(dtype).tiny) for rows, w in clouds]
    return torch.stack(means).to(x.dtype)


def spread(vectors: Tensor, ptr: Tensor) -> Tensor:
    """Return the vector of its cloud for every token, ``(B, C)`` to ``(N, C)``.

    Convention:
        Expanded views are concatenated because their backward is a sum. The backward of indexing is a slow scatter.
    """
    sizes = ptr.diff().tolist()
    return torch.cat([vector.expand(size, -1) for vector, size in zip(vectors, sizes)])
