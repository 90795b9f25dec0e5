"""A batch of one scene, for models that predict; made without PyG, whose import takes seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from pcseg.data.features import input_features
from pcseg.data.sample import Sample
from pcseg.ops.voxels import VoxelSet


@dataclass(kw_only=True)
class SceneBatch:
    """The fields of :class:`~pcseg.nn.levels.PointBatch` for one scene, and perhaps its ``voxels``.

    Args:
        x: Input features, ``(N, F)``.
        pos: Metres, ``(N, 3)``.
        grid_pos: Voxels, ``(N, 3)`` int32.
        y: Labels, ``(N,)`` int64.
        batch: Zeros, ``(N,)`` int64.
        ptr: 0 and N.
        voxels: The voxels with the kernel maps built so far.
    """

    x: Tensor
    pos: Tensor
    grid_pos: Tensor
    y: Tensor
    batch: Tensor
    ptr: Tensor
    voxels: VoxelSet | None = None
    num_graphs: int = 1

    def to(self, device: torch.device | str) -> Self:
        """The batch on another device; voxels stay behind."""
        return replace(
            self,
            x=self.x.to(device),
            pos=self.pos.to(device),
            grid_pos=self.grid_pos.to(device),
            y=self.y.to(device),
            batch=self.batch.to(device),
            ptr=self.ptr.to(device),
            voxels=None,
        )


def scene_batch(sample: Sample, features: Sequence[str]) -> SceneBatch:
    """The batch of one voxelised sample."""
    tensors = model_inputs(sample, features)
    count = len(tensors["x"])
    return SceneBatch(
        x=tensors["x"],
        pos=tensors["pos"],
        grid_pos=tensors["grid_pos"],
        y=tensors["y"],
        batch=torch.zeros(count, dtype=torch.int64),
        ptr=torch.tensor([0, count]),
    )


def model_inputs(sample: Sample, features: Sequence[str]) -> dict[str, Tensor]:
    """A voxelised sample as tensors: x (N, F), pos (N, 3), grid_pos (N, 3) int32, y (N,) int64."""
    assert sample.grid_pos is not None, "the sample is not voxelised"
    assert sample.height is not None, "the sample has no heights"
    x = input_features(
        features,
        pos=sample.pos,
        color=sample.color,
        ground=sample.pos[:, 2] - sample.height,
        normal=sample.normal,
        source=sample.name,
    )
    return {
        "x": torch.from_numpy(x),
        "pos": torch.from_numpy(sample.pos),
        "grid_pos": torch.from_numpy(sample.grid_pos),
        "y": torch.from_numpy(sample.label.astype(np.int64)),
    }
