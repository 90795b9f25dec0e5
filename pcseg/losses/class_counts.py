"""How often each class occurs in every cloud: what image-level targets are made of."""

import torch
from torch import Tensor


def class_counts(y: Tensor, ptr: Tensor, num_classes: int) -> Tensor:
    """Number of tokens of each class in every cloud, ``(B, K)`` int64.

    Args:
        y: Labels, ``(N,)`` int64; values outside 0 ... K-1 (ignored) are not counted.
        ptr: First token of every cloud and N at the end, ``(B+1,)``.
        num_classes: K.
    """
    num_clouds = len(ptr) - 1
    cloud = torch.arange(num_clouds, device=y.device).repeat_interleave(ptr.diff(), output_size=len(y))
    counted = (y >= 0) & (y < num_classes)
    bins = torch.where(counted, cloud * num_classes + y, num_clouds * num_classes)
    counts = torch.bincount(bins, minlength=num_clouds * num_classes + 1)
    return counts[:-1].view(num_clouds, num_classes)
