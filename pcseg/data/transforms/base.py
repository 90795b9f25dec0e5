"""Base class of augmentations."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np

from pcseg.data.sample import Sample


class Transform(ABC):
    """Changes a sample, using only random numbers of the given generator."""

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the changed sample; the input is not modified."""


def apply_all(transforms: Iterable[Transform], sample: Sample, rng: np.random.Generator) -> Sample:
    """Apply ``transforms`` in order."""
    for transform in transforms:
        sample = transform(sample, rng)
    return sample
