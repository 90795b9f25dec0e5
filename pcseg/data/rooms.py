"""Rooms of a prepared folder as augmented training samples and as whole rooms."""

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
    """A selection of the scenes of a prepared folder.

    Args:
        root: The prepared folder.
        entries: Manifest entries of the scenes.
        needs_normals: Reject scenes without normals.

    Convention:
        A file is opened when its room is read, and no handle is kept, which is safe in any number of processes.
    """

    root: Path
    entries: tuple[SceneEntry, ...]
    needs_normals: bool = False

    def __len__(self) -> int:
        return len(self.entries)

    def load(self, index: int) -> Sample:
        """Return a whole room.

        Raises:
            UserError: A damaged file, an unknown label, no points, or missing normals.
        """
        entry = self.entries[index]
        note_file(self.root / entry.path)
        scene = read_scene(self.root / entry.path)
        if self.needs_normals and scene.normal is None:
            raise UserError(
                f"{scene.path}: the scene has no normals, which data.features asks for. Prepare the data with "
                "--normals true."
            )
        sample = load_sample(scene, name=f"{entry.split}/{entry.name}")
        return sample if self.needs_normals else replace(sample, normal=None)


class TrainingRooms(Dataset[tuple[Sample, np.random.Generator]]):
    """Augmented crops of voxelized rooms.

    A room is augmented, grid sampled (one random point per voxel), cropped to ``max_voxels``, and augmented again.

    Args:
        files: The rooms.
        grid_size: Edge of a voxel in meters.
        max_voxels: Maximum number of voxels of a sample.
        crop_center: Center of a crop.
        point_transforms: Augmentations before grid sampling.
        voxel_transforms: Augmentations after cropping, which must not move points.
        seed: Seed of the random numbers of a sample, together with its key.

    Convention:
        A sample depends only on seed and key, not on the process or on other samples. It comes with its random
        generator, for random decisions about the batch.
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
            *voxel_transforms,
        ]
        self.seed = seed

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: SampleKey) -> tuple[Sample, np.random.Generator]:
        rng = np.random.default_rng((self.seed, key.epoch, key.position))
        sample = apply_all(self.point_transforms, self.files.load(key.index), rng)
        return apply_all(self.voxel_transforms, with_height(sample), rng), rng


class WholeRooms(Dataset[tuple[Sample, np.random.Generator]]):
    """Whole rooms with one point per voxel, the same in every epoch.

    Args:
        files: The rooms.
        grid_size: Edge of a voxel in meters.
    """

    def __init__(self, files: RoomFiles, *, grid_size: float) -> None:
        self.files = files
        self.grid_size = grid_size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Sample, np.random.Generator]:
        rng = np.random.default_rng(index)
        sample = with_height(self.files.load(index))
        return GridSample(grid_size=self.grid_size)(sample, rng), rng


def with_height(sample: Sample) -> Sample:
    """Return the sample with the height of every point above the ground of the sample."""
    ground = np.float32(ground_height(sample.pos))
    return replace(sample, height=sample.pos[:, 2] - ground)
