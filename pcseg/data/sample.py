"""The points of a scene between reading and batching, and the base class of their augmentations."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from pcseg.data.scenes import Scene, check_labels
from pcseg.errors import UserError


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """The points of a room or of a part of it.

    Args:
        name: Source of the points, ``<area or split>/<scene>``.
        pos: Positions in meters, z up, float32, ``(N, 3)``.
        color: Colors from 0 to 255, uint8 as stored or float32, ``(N, 3)``.
        label: Classes or ``IGNORE_INDEX``, ``(N,)``.
        instance: Instance of each point, -1 for none, ``(N,)``.
        normal: Unit normals, float32, ``(N, 3)``, or ``None``.
        height: Height above the ground of the scene in meters, float32, ``(N,)``, or ``None`` before it is computed.
        floor: Height above the local ground of the storey in meters, likewise, if a feature needs it.
        ceiling: Depth below the local ceiling in meters, NaN without one, likewise.
        grid_pos: Voxel coordinates, int32, ``(N, 3)``, or ``None`` before grid sampling.

    Convention:
        Arrays are read-only: they may be mapped from a file.
    """

    name: str
    pos: np.ndarray
    color: np.ndarray
    label: np.ndarray
    instance: np.ndarray
    normal: np.ndarray | None = None
    height: np.ndarray | None = None
    floor: np.ndarray | None = None
    ceiling: np.ndarray | None = None
    grid_pos: np.ndarray | None = None

    @property
    def num_points(self) -> int:
        return len(self.pos)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that are not ``None`` by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def take(self, index: np.ndarray) -> Self:
        """Return the points ``index`` in that order."""
        return replace(self, **{name: array.take(index, axis=0) for name, array in self.arrays().items()})


def load_sample(scene: Scene, *, name: str) -> Sample:
    """Return a whole scene as a sample.

    Raises:
        UserError: A label outside of the schema, or no points.
    """
    check_labels(scene.path, scene.label, scene.schema)
    if scene.num_points == 0:
        raise UserError(f"{scene.path}: the scene has no points. Prepare the data again without it.")
    # plain arrays, since results of operations on a memmap would be memmaps too
    return Sample(name=name, **{field: np.asarray(array) for field, array in scene.arrays().items()})


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
