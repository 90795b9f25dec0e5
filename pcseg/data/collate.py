"""Batches of voxelized samples, and Mix3D: two scenes in one cloud (Nekrasov et al., 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pcseg.data.sample import Sample
from pcseg.data.scene_batch import model_inputs
from pcseg.data.voxels import group_cells

if TYPE_CHECKING:
    from torch_geometric.data import Batch, Data

# PyG takes seconds to import, so it is imported only where a batch is made; evaluation makes none


@dataclass(frozen=True, kw_only=True)
class Collate:
    """Makes a batch of voxelized samples, mixing pairs of them with a given probability.

    Args:
        mix_prob: Probability that the samples of a batch are mixed in pairs (Mix3D).

    Convention:
        Mixing is decided once per batch, as published, with the random generator of its first sample.
    """

    features: tuple[str, ...]
    grid_size: float
    mix_prob: float = 0.0

    def __call__(self, items: Sequence[tuple[Sample, np.random.Generator]]) -> "Batch":
        from torch_geometric.data import Batch

        samples = [sample for sample, _ in items]
        rng = items[0][1]
        if self.mix_prob > 0 and rng.random() < self.mix_prob:
            samples = self._mixed(samples, rng)
        return Batch.from_data_list([to_data(sample, self.features) for sample in samples])  # type: ignore[return-value]

    def _mixed(self, samples: list[Sample], rng: np.random.Generator) -> list[Sample]:
        """Mix the first sample with the second, the third with the fourth; an unpaired last one is unchanged."""
        pairs = zip(samples[::2], samples[1::2])
        mixed = [mix(first, second, rng, grid_size=self.grid_size) for first, second in pairs]
        return mixed + samples[len(samples) // 2 * 2 :]


def to_data(sample: Sample, features: Sequence[str]) -> "Data":
    """Return a voxelized sample as PyG data: x (N, F), pos (N, 3), grid_pos (N, 3) int32, y (N,) int64, scene."""
    from torch_geometric.data import Data

    return Data(**model_inputs(sample, features), scene=sample.name)


def mix(first: Sample, second: Sample, rng: np.random.Generator, *, grid_size: float) -> Sample:
    """Merge two voxelized samples, center on center, into one with a single point per voxel.

    Where both have a point in a voxel, one of the two is kept at random. Instances of ``second`` are numbered
    after those of ``first``. Heights remain relative to each sample's own ground.

    Convention:
        Samples move by whole voxels, so that two points of a sample never share a voxel. Normals are kept only if
        both have them.
    """
    parts = [_centered(sample, grid_size) for sample in (first, second)]
    shift = first.instance.max(initial=-1) + 1
    parts[1] = replace(parts[1], instance=np.where(second.instance < 0, -1, second.instance + shift))
    names = parts[0].arrays().keys() & parts[1].arrays().keys()
    merged = {name: np.concatenate([part.arrays()[name] for part in parts]) for name in names}
    groups = group_cells(list(merged["grid_pos"].T))
    union = Sample(name=f"{first.name}+{second.name}", **merged).take(groups.random_points(rng))
    return replace(union, grid_pos=groups.grid_pos)


def _centered(sample: Sample, grid_size: float) -> Sample:
    """Move a sample by whole voxels so that the center of its bounding box is in the voxel column (0, 0)."""
    assert sample.grid_pos is not None, "mix takes voxelized samples"
    if sample.num_points == 0:
        return sample
    cells = np.floor(sample.pos[:1] / np.float64(grid_size)).astype(np.int32)
    world = sample.grid_pos + (cells - sample.grid_pos[:1])
    middle = (world.min(axis=0) + world.max(axis=0)) // 2
    middle[2] = 0
    shift = (middle * grid_size).astype(np.float32)
    return replace(sample, pos=sample.pos - shift, grid_pos=world - middle)
