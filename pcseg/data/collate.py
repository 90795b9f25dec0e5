"""Batches of voxelized samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pcseg.data.mix import mix
from pcseg.data.sample import Sample
from pcseg.data.scene_batch import model_inputs

if TYPE_CHECKING:
    from torch_geometric.data import Batch, Data

# PyG takes seconds to import, so it is imported only where a batch is made; evaluation makes none


@dataclass(frozen=True, kw_only=True)
class Collate:
    """Makes a batch of voxelized samples, mixing pairs of them with a given probability.

    Args:
        features: Names of the input features, in order.
        grid_size: Edge of a voxel in meters.
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
