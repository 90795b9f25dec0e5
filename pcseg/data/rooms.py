"""Rooms of a prepared folder as augmented training samples and as whole rooms."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pcseg.data.features import ground_height
from pcseg.data.ground import Ground, local_ground
from pcseg.data.manifest import SceneEntry, verified_scene
from pcseg.data.room_frame import GivenAxes, find_room_frame
from pcseg.data.sample import Sample, load_sample
from pcseg.data.transforms import GridSample, Transform, apply_all
from pcseg.data.transforms.geometry import turn
from pcseg.data.worker_errors import note_file
from pcseg.errors import UserError
from pcseg.labels import LabelSchema


@dataclass(frozen=True, kw_only=True)
class RoomFiles:
    """A selection of the scenes of a prepared folder.

    Args:
        entries: Manifest entries of the scenes.
        features: Names of the input features; scenes without normals are rejected if they are among them.
        schema: Label schema that every scene must have.
        room_axes: Rotate every room into its axes, see :func:`in_room_axes`.
        rotations: Rotations found so far, so that each room is searched once per process.

    Convention:
        A file is opened when its room is read, and no handle is kept, which is safe in any number of processes.
    """

    root: Path
    entries: tuple[SceneEntry, ...]
    features: tuple[str, ...] = ()
    schema: LabelSchema | None = None
    room_axes: bool = False
    rotations: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.entries)

    def load(self, index: int) -> Sample:
        """Return a whole room.

        Raises:
            UserError: A damaged file, an unknown label, no points, or missing normals.
        """
        entry = self.entries[index]
        note_file(self.root / entry.path)
        scene = verified_scene(self.root, entry, self.schema)
        needs_normals = "normal" in self.features
        if needs_normals and scene.normal is None:
            raise UserError(
                f"{scene.path}: the scene has no normals, which data.features asks for. Prepare the data with "
                "--normals true."
            )
        sample = load_sample(scene, name=f"{entry.split}/{entry.name}")
        sample = sample if needs_normals else replace(sample, normal=None)
        if not self.room_axes:
            return sample
        if index not in self.rotations:
            self.rotations[index] = find_room_frame(sample.pos).rotation
        return turn(sample, self.rotations[index])

    def augmented(
        self,
        index: int,
        rng: np.random.Generator,
        *,
        point_transforms: Sequence[Transform],
        voxel_transforms: Sequence[Transform],
    ) -> tuple[Sample, np.random.Generator]:
        """Return a training sample, and its random generator for random decisions about the batch.

        ``voxel_transforms`` are grid sampling and the transforms after it, which must not move points.
        """
        sample = apply_all(point_transforms, self.load(index), rng)
        return apply_all(voxel_transforms, with_height(sample, self.features), rng), rng

    def whole(self, index: int, *, grid_size: float) -> tuple[Sample, np.random.Generator]:
        """Return a whole room with one point per voxel, always the same, as :meth:`augmented` does."""
        rng = np.random.default_rng(index)
        return GridSample(grid_size=grid_size)(with_height(self.load(index), self.features), rng), rng


def in_room_axes(sample: Sample, given: GivenAxes = GivenAxes()) -> tuple[Sample, str]:  # noqa: B008 - immutable
    """Return the sample with level axes along the walls of its room, and a remark on the rotation.

    Convention:
        The axes are those of :func:`~pcseg.data.room_frame.find_room_frame`; which wall x is parallel to is arbitrary.
        A sample without dominant directions is only leveled.
    """
    frame = find_room_frame(sample.pos, given)
    return turn(sample, frame.rotation), frame.remark


@dataclass(frozen=True, kw_only=True)
class SceneGround:
    """What heights of the points of a scene refer to: the lowest 1 % and, if a feature needs them, local floors."""

    level: np.float32
    local: Ground | None


def scene_ground(pos: np.ndarray, features: Sequence[str]) -> SceneGround:
    """Return what heights refer to, found from the points of a scene or a sample of them ``(N, 3)``."""
    local = local_ground(pos) if {"floor", "ceiling"} & set(features) else None
    return SceneGround(level=np.float32(ground_height(pos)), local=local)


def with_height(sample: Sample, features: Sequence[str], *, ground: SceneGround | None = None) -> Sample:
    """Return the sample with the heights of every point that the features need.

    They are the height above the ground of the sample and, for ``floor`` and ``ceiling``, those above the local ground
    and below the local ceiling (:func:`~pcseg.data.ground.local_ground`). ``ground`` is what heights refer to, if the
    sample is a part of a scene.
    """
    ground = ground or scene_ground(sample.pos, features)
    sample = replace(sample, height=sample.pos[:, 2] - ground.level)
    if ground.local is None:
        return sample
    floor, ceiling = ground.local.measure(sample.pos)
    return replace(sample, floor=floor, ceiling=ceiling if "ceiling" in features else None)
