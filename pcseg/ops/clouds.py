"""Pool tokens over their cloud (or image), and spread vectors of clouds to their tokens."""

import torch
from torch import Tensor


def split_clouds(x: Tensor, ptr: Tensor) -> tuple[Tensor, ...]:
    """Return the rows of every cloud, as views of ``x`` ``(N, ...)``; a cloud may be empty."""
    return x.split(ptr.diff().tolist())


def cloud_mean(x: Tensor, ptr: Tensor) -> Tensor:
    """Return the mean over the rows of every cloud, ``(N, C)`` to ``(B, C)``; zeros for an empty cloud.

    Convention:
        Half precision is summed in float32: sums over a room overflow float16.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    means = [rows.sum(0, dtype=dtype) / max(len(rows), 1) for rows in split_clouds(x, ptr)]
    return torch.stack(means).to(x.dtype)


def spread(vectors: Tensor, ptr: Tensor) -> Tensor:
    """Return the vector of its cloud for every token, ``(B, C)`` to ``(N, C)``.

    Convention:
        Expanded views are concatenated because their backward is a sum. The backward of indexing is a slow scatter.
    """
    sizes = ptr.diff().tolist()
    return torch.cat([vector.expand(size, -1) for vector, size in zip(vectors, sizes)])
