"""Batch of one scene for prediction, built without PyG, whose import takes seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from pcseg.data.features import input_features
from pcseg.data.sample import Sample
from pcseg.ops.voxels import VoxelSet


@dataclass(kw_only=True)
class SceneBatch:
    """The fields of :class:`~pcseg.nn.levels.PointBatch` for one scene.

    Args:
        voxels: Voxels with the kernel maps built so far.
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
        """Return the batch on another device, without ``voxels``; ``ptr`` stays where Python reads it."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        moved: dict[str, Any] = {name: value.to(device) for name, value in tensors.items() if name != "ptr"}
        return replace(self, **moved, voxels=None)


def scene_batch(sample: Sample, features: Sequence[str]) -> SceneBatch:
    """Return the batch of one voxelized sample."""
    count = len(sample.pos)
    inputs: dict[str, Any] = model_inputs(sample, features)
    return SceneBatch(**inputs, batch=torch.zeros(count, dtype=torch.int64), ptr=torch.tensor([0, count]))


def model_inputs(sample: Sample, features: Sequence[str]) -> dict[str, Tensor]:
    """Return a voxelized sample as tensors: x (N, F), pos (N, 3), grid_pos (N, 3) int32, y (N,) int64."""
    assert sample.grid_pos is not None, "the sample is not voxelized"
    assert sample.height is not None, "the sample has no heights"
    x = input_features(
        features,
        pos=sample.pos,
        color=sample.color,
        ground=sample.pos[:, 2] - sample.height,
        floor=sample.floor,
        ceiling=sample.ceiling,
        normal=sample.normal,
        source=sample.name,
    )
    return {
        "x": torch.from_numpy(x),
        "pos": torch.from_numpy(sample.pos),
        "grid_pos": torch.from_numpy(sample.grid_pos),
        "y": torch.from_numpy(sample.label.astype(np.int64)),
    }
