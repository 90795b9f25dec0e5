"""Samples become batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pcseg.data.mix import mix
from pcseg.data.sample import Sample
from pcseg.data.scene_batch import model_inputs

if TYPE_CHECKING:
    from torch_geometric.data import Batch, Data

# PyG is imported where a batch is made: that takes seconds, and evaluation needs none


@dataclass(frozen=True, kw_only=True)
class Collate:
    """Makes a batch of voxelised samples; in training it may mix pairs of them first.

    Args:
        features: Names of the input features, in order.
        grid_size: Edge of a voxel in metres.
        mix_prob: Probability that the samples of a batch are mixed in pairs (Mix3D).

    Convention:
        Decided once a batch, as published; the random numbers are those of the batch's first sample.
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
        """First with second, third with fourth; an odd last one stays alone."""
        pairs = zip(samples[::2], samples[1::2])
        mixed = [mix(first, second, rng, grid_size=self.grid_size) for first, second in pairs]
        return mixed + samples[len(samples) // 2 * 2 :]


def to_data(sample: Sample, features: Sequence[str]) -> "Data":
    """A voxelised sample as PyG data: x (N, F), pos (N, 3), grid_pos (N, 3) int32, y (N,) int64, scene."""
    from torch_geometric.data import Data

    return Data(**model_inputs(sample, features), scene=sample.name)
