"""The contract of an augmentation."""

from abc import ABC, abstractmethod

import numpy as np

from pcseg.data.sample import Sample


class Transform(ABC):
    """Takes a sample and returns a changed one; every random number comes from the generator given."""

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The changed sample; the one given stays as it was."""


def apply_all(transforms: list[Transform], sample: Sample, rng: np.random.Generator) -> Sample:
    """Apply ``transforms`` one after the other."""
    for transform in transforms:
        sample = transform(sample, rng)
    return sample
