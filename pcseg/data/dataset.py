"""Rooms of a prepared folder as training samples and as whole rooms."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from pcseg.data.features import ground_height
from pcseg.data.manifest import SceneEntry
from pcseg.data.sample import Sample, load_sample
from pcseg.data.samplers import SampleKey
from pcseg.data.scenes import read_scene
from pcseg.data.transforms import CropCenter, GridSample, SphereCrop, Transform, apply_all
from pcseg.data.worker_errors import note_file
from pcseg.errors import UserError


@dataclass(frozen=True, kw_only=True)
class RoomFiles:
    """Some of the scenes of a prepared folder.

    Args:
        root: The prepared folder.
        entries: Which scenes.
        needs_normals: Refuse scenes without normals.

    Convention:
        Files are opened when a room is read and no handle is kept: safe in any number of processes.
    """

    root: Path
    entries: tuple[SceneEntry, ...]
    needs_normals: bool = False

    def __len__(self) -> int:
        return len(self.entries)

    def load(self, room: int) -> Sample:
        """The whole room; raise :class:`UserError` for unknown labels, no points or missing normals."""
        entry = self.entries[room]
        note_file(self.root / entry.path)
        scene = read_scene(self.root / entry.path)
        if self.needs_normals and scene.normal is None:
            raise UserError(
                f"{scene.path}: feature 'normal' is asked for but the scene has no normals; prepare the data with "
                "--normals true"
            )
        sample = load_sample(scene, name=f"{entry.split}/{entry.name}")
        return sample if self.needs_normals else replace(sample, normal=None)


class TrainingRooms(Dataset[tuple[Sample, np.random.Generator]]):
    """Augmented, voxelised crops of rooms.

    A room is augmented, grid sampled (one random point a voxel), cropped to ``max_voxels``, augmented again.

    Args:
        files: The rooms.
        grid_size: Edge of a voxel in metres.
        max_voxels: Largest number of voxels of a sample.
        crop_center: What the middle of a crop is drawn from.
        point_transforms: Applied to all points of the room.
        voxel_transforms: Applied to the points that are left; must not move them.
        seed: With the key of a sample, determines its random numbers.

    Convention:
        A sample depends on seed and key alone: not on the process or worker that makes it, nor on samples
        made before. It comes with its generator, for what is drawn in the batch.
    """

    def __init__(
        self,
        files: RoomFiles,
        *,
        grid_size: float,
        max_voxels: int,
        crop_center: CropCenter = "point",
        point_transforms: Sequence[Transform],
        voxel_transforms: Sequence[Transform],
        seed: int,
    ) -> None:
        self.files = files
        self.point_transforms = list(point_transforms)
        self.voxel_transforms = [
            GridSample(grid_size=grid_size),
            SphereCrop(max_points=max_voxels, center=crop_center),
        ]
        self.voxel_transforms += voxel_transforms
        self.seed = seed

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: SampleKey) -> tuple[Sample, np.random.Generator]:
        rng = np.random.default_rng((self.seed, key.epoch, key.position))
        sample = apply_all(self.point_transforms, self.files.load(key.room), rng)
        sample = with_height(sample)
        return apply_all(self.voxel_transforms, sample, rng), rng


class WholeRooms(Dataset[tuple[Sample, np.random.Generator]]):
    """Whole rooms with one point a voxel, the same at every visit.

    Args:
        files: The rooms.
        grid_size: Edge of a voxel in metres.
    """

    def __init__(self, files: RoomFiles, *, grid_size: float) -> None:
        self.files = files
        self.grid_size = grid_size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, room: int) -> tuple[Sample, np.random.Generator]:
        rng = np.random.default_rng(room)
        sample = with_height(self.files.load(room))
        return GridSample(grid_size=self.grid_size)(sample, rng), rng


def with_height(sample: Sample) -> Sample:
    """The sample with the height of every point above the ground of the sample."""
    ground = np.float32(ground_height(sample.pos))
    return replace(sample, height=sample.pos[:, 2] - ground)
