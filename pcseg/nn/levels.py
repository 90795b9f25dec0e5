"""Input of backbones (a batch of clouds or images) and of heads (levels of features)."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from pcseg.ops.voxels import VoxelSet


class PointBatch(Protocol):
    """The fields of a PyG ``Batch`` that models use. Rows are voxels, sorted by cloud.

    ``x`` (N, F) input features · ``pos`` (N, 3) meters · ``grid_pos`` (N, 3) int32 voxels, unique within a cloud ·
    ``y`` (N,) int64 labels or ``IGNORE_INDEX`` · ``batch`` (N,) and ``ptr`` (B+1,) int64.
    """

    x: Tensor
    pos: Tensor
    grid_pos: Tensor
    y: Tensor
    batch: Tensor
    ptr: Tensor
    num_graphs: int


class ImageBatch(Protocol):
    """Images of one size; rows of ``y`` are pixels in (image, y, x) order.

    ``image`` (B, C, H, W) · ``labels`` (B, H, W) int64 labels or ``IGNORE_INDEX`` · ``y`` (B*H*W,) the same.
    """

    image: Tensor
    labels: Tensor
    num_graphs: int

    @property
    def y(self) -> Tensor: ...


@dataclass(kw_only=True)
class Level:
    """Features of the occupied voxels of a batch of clouds at one resolution.

    Args:
        x: Features, ``(N, C)``.
        voxels: Their positions, with ``grid_pos``, ``ptr``, ``batch`` and the kernel maps built so far.
        stride: Edge of a voxel of this level in voxels of the input grid.
        parent: Row of this level for every voxel of the next finer level, ``(N_finer,)``; ``None`` at the finest.

    Convention:
        A backbone returns its levels finest first; row i of the finest level is row i of the batch.
    """

    x: Tensor
    voxels: VoxelSet
    stride: int
    parent: Tensor | None = None
