"""A cloud on its way from a prepared scene to a batch."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from pcseg.data.scenes import Scene
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """The points of a room, or of a part of it, in memory.

    Args:
        name: Where the points come from, ``<area or split>/<scene>``.
        pos: Positions in metres, z up, float32, ``(N, 3)``.
        color: Colours from 0 to 255, uint8 as stored or float32, ``(N, 3)``.
        label: Classes or ``IGNORE_INDEX``, ``(N,)``.
        instance: Objects, -1 for none, ``(N,)``.
        normal: Unit normals, float32, ``(N, 3)``, or ``None``.
        height: Height above the ground of the scene in metres, float32, ``(N,)``, once it is known.
        grid_pos: Voxel coordinates, int32, ``(N, 3)``, once the sample has one point a voxel.

    Convention:
        Nothing writes into the arrays: they may be mapped from a file.
    """

    name: str
    pos: np.ndarray
    color: np.ndarray
    label: np.ndarray
    instance: np.ndarray
    normal: np.ndarray | None = None
    height: np.ndarray | None = None
    grid_pos: np.ndarray | None = None

    @property
    def num_points(self) -> int:
        return len(self.pos)

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that are there, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def take(self, index: np.ndarray) -> Self:
        """The points ``index``, in that order."""
        return replace(self, **{name: array.take(index, axis=0) for name, array in self.arrays().items()})


def load_sample(scene: Scene, *, name: str) -> Sample:
    """The whole scene as a sample.

    Raises:
        UserError: A label that the schema does not have, or no points at all.
    """
    low, high = scene.label.min(initial=IGNORE_INDEX), scene.label.max(initial=IGNORE_INDEX)
    if low < IGNORE_INDEX or high >= scene.schema.num_classes:
        raise UserError(
            f"{scene.path}: label {low if low < IGNORE_INDEX else high} is not among {IGNORE_INDEX}.."
            f"{scene.schema.num_classes - 1} of schema {scene.schema.name!r}; prepare the data again"
        )
    if scene.num_points == 0:
        raise UserError(f"{scene.path}: the scene has no points; prepare the data again without it")
    # plain arrays: what is computed from a memmap would carry its class along
    return Sample(name=name, **{field: np.asarray(array) for field, array in scene.arrays().items()})
