"""One resolution of a point backbone: what backbones hand to heads."""

from dataclasses import dataclass

from torch import Tensor

from pcseg.ops.voxels import VoxelSet


@dataclass(kw_only=True)
class Level:
    """Features of the occupied voxels of a batch of clouds at one resolution.

    Args:
        x: Features, ``(N, C)``.
        voxels: Where they are; carries ``grid_pos``, ``ptr``, ``batch`` and the kernel maps built so far.
        stride: Edge of a voxel here in voxels of the input grid.
        parent: Row here of every voxel of the next finer level, ``(N_finer,)``; ``None`` at the finest.

    Convention:
        A backbone returns its levels finest first; row i of the finest level is row i of the batch.
    """

    x: Tensor
    voxels: VoxelSet
    stride: int
    parent: Tensor | None = None
