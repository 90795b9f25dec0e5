"""Out-of-memory errors, and batches cropped to fewer voxels."""

from copy import copy
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

OUT_OF_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""Parts of the messages in which the CPU allocator, the GPU driver or a GPU library reports a lack of memory."""


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error reports that the GPU or the CPU ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error) for words in OUT_OF_MEMORY)


def num_voxels(batch: Any) -> int | None:
    """Return the number of voxels of a batch of clouds, ``None`` for other batches: these cannot be cropped."""
    return len(batch["grid_pos"]) if isinstance(batch, Batch) and "grid_pos" in batch else None


def crop_batch(batch: Any, budget: int | None) -> Any:
    """Return a batch with at most ``budget`` voxels: the same share of each cloud, around a random voxel.

    A batch that fits is copied without its tensors, so that a model may set fields of the result.
    """
    total = num_voxels(batch)
    if budget is None or total is None or total <= budget:
        return copy(batch)
    clouds = []
    for cloud in batch.to_data_list():
        count = len(cloud.grid_pos)
        grid_pos = cloud.grid_pos.float()
        center = grid_pos[int(torch.randint(count, ())) if count else 0]
        keep = min(max(int(budget * count / total), 1), count)
        index = (grid_pos - center).square().sum(1).topk(keep, largest=False).indices.sort().values
        for key, value in cloud.to_dict().items():
            if isinstance(value, Tensor) and value.dim() and len(value) == count:
                cloud[key] = value[index]
        clouds.append(cloud)
    return Batch.from_data_list(clouds)
