"""The data of an experiment: which rooms train, validate and test, and how they become batches."""

import hashlib
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcseg.data.collate import Collate
from pcseg.data.dataset import RoomFiles, TrainingRooms, WholeRooms
from pcseg.data.features import num_features
from pcseg.data.loaders import EpochLoader, RoomLoader
from pcseg.data.manifest import Manifest, SceneEntry
from pcseg.data.samplers import EpochSampler, ShardSampler
from pcseg.data.scenes import read_scene
from pcseg.data.training_data import TrainingData
from pcseg.data.transforms import (
    CenterShift,
    ChromaticAutoContrast,
    ChromaticJitter,
    ChromaticTranslation,
    CropCenter,
    RandomDropout,
    RandomFlip,
    RandomJitter,
    RandomRotate,
    RandomScale,
    Transform,
)
from pcseg.errors import UserError
from pcseg.labels import LabelSchema

_VISIT = re.compile(r"(scene\d{4})_\d{2}")  # a scan of ScanNet: space and visit


def default_point_transforms() -> list[Transform]:
    """What Pointcept does to the positions of S3DIS rooms before grid sampling (PTv3)."""
    return [
        CenterShift(),
        RandomDropout(),
        RandomRotate(axis="z", degrees=180),
        RandomRotate(axis="x", degrees=180 / 64),
        RandomRotate(axis="y", degrees=180 / 64),
        RandomScale(),
        RandomFlip(),
        RandomJitter(),
    ]


def default_voxel_transforms() -> list[Transform]:
    """What Pointcept does to the colours of S3DIS rooms; here after grid sampling, on fewer points."""
    return [ChromaticAutoContrast(), ChromaticTranslation(), ChromaticJitter()]


class RoomData(TrainingData):
    """Rooms of a prepared folder for training, validation and test.

    Args:
        root: Prepared folder, with ``manifest.json``.
        grid_size: Edge of a voxel in metres.
        features: Input features in order: color, height, normal, pos.
        test_splits: Areas or splits that are kept for the test.
        train_splits: Areas or splits that are trained on; all others without a value.
        val_splits: Areas or splits to validate on; without a value, training rooms are held out.
        val_fraction: Share of the rooms of every training split that is held out, at least one.
        val_rooms: Rooms to hold out, as ``<split>/<scene>``, in place of a share.
        point_transforms: Augmentations of all points of a room, before grid sampling.
        voxel_transforms: Augmentations after grid sampling and cropping; these must not move points.
        max_voxels: Largest number of voxels of a training sample; more are cropped to a sphere.
        crop_center: Middle of a crop: any point, or a point of a class drawn first (rare ones are shown more).
        batch_size: Samples in a batch of one process.
        loop: How often an epoch shows every room.
        mix_prob: Probability that the samples of a batch are mixed in pairs (Mix3D).
        num_workers: Processes that load; results do not depend on it.

    Raises:
        UserError: No prepared folder, a name that is not in it, no room to train on, an unknown feature.
    """

    kind = "rooms"

    def __init__(
        self,
        root: Path,
        *,
        grid_size: float = 0.05,
        features: Sequence[str] = ("color", "height"),
        test_splits: Sequence[str] = ("Area_5",),
        train_splits: Sequence[str] | None = None,
        val_splits: Sequence[str] | None = None,
        val_fraction: float = 0.1,
        val_rooms: Sequence[str] | None = None,
        point_transforms: list[Transform] | None = None,
        voxel_transforms: list[Transform] | None = None,
        max_voxels: int = 100_000,
        crop_center: CropCenter = "point",
        batch_size: int = 4,
        loop: int = 1,
        mix_prob: float = 0.0,
        num_workers: int = 0,
    ) -> None:
        self.root = Path(root)
        self.grid_size = grid_size
        self.features = tuple(features)
        self.in_channels = num_features(self.features)
        self.point_transforms = default_point_transforms() if point_transforms is None else point_transforms
        self.voxel_transforms = default_voxel_transforms() if voxel_transforms is None else voxel_transforms
        self.max_voxels = max_voxels
        self.crop_center: CropCenter = crop_center
        self.batch_size = batch_size
        self.loop = loop
        self.mix_prob = mix_prob
        self.num_workers = num_workers
        self._check_numbers(val_fraction)
        self.manifest = Manifest.read(self.root)
        self.test_rooms = self._in_splits(test_splits, "test_splits")
        others = [split for split in self.manifest.splits if split not in {*test_splits, *(val_splits or ())}]
        rooms = self._in_splits(others if train_splits is None else train_splits, "train_splits")
        if val_splits is not None:
            self.val_rooms = self._in_splits(val_splits, "val_splits")
        elif val_rooms is not None:
            self.val_rooms = self._named(val_rooms)
        else:
            self.val_rooms = held_out(rooms, val_fraction)
        self.train_rooms = tuple(room for room in rooms if room not in self.val_rooms)
        self._check_rooms()

    def _check_numbers(self, val_fraction: float) -> None:
        for name in ("max_voxels", "batch_size", "loop"):
            if getattr(self, name) < 1:
                raise UserError(f"data.{name} is {getattr(self, name)}; it must be at least 1")
        if self.grid_size <= 0:
            raise UserError(f"data.grid_size is {self.grid_size}; it must be above 0")
        for name, share in (("mix_prob", self.mix_prob), ("val_fraction", val_fraction)):
            if not 0 <= share <= 1:
                raise UserError(f"data.{name} is {share}; it must be between 0 and 1")
        if self.mix_prob > 0 and self.batch_size == 1:
            raise UserError("data.mix_prob needs a data.batch_size of at least 2: samples are mixed in pairs")

    def _check_rooms(self) -> None:
        """Training, validation and test share no room; there is a room to train on."""
        for name, rooms in (("training", self.train_rooms), ("validation", self.val_rooms)):
            shared = [room.path for room in rooms if room in self.test_rooms]
            if shared:
                raise UserError(
                    f"{self.root}: {shared[0]} is for {name} and for the test; check data.*_splits"
                )
        if not self.train_rooms:
            raise UserError(f"{self.root}: no rooms are left to train on; check data.*_splits and val_rooms")

    @property
    def schema(self) -> LabelSchema:
        return self.manifest.schema

    @property
    def num_classes(self) -> int:
        return self.schema.num_classes

    @property
    def manifest_hash(self) -> str:
        return self.manifest.hash

    @cached_property
    def class_counts(self) -> Tensor:
        """Points of every class in the training rooms, int64, ``(K,)``."""
        return torch.tensor([entry.class_histogram for entry in self.train_rooms]).sum(dim=0)

    @cached_property
    def mean_color(self) -> list[float]:
        """Mean colour in 0..255 of every hundredth point of the training rooms: stands in for a missing one."""
        scenes = (read_scene(self.root / entry.path) for entry in self.train_rooms)
        color = np.concatenate([scene.color[::100] for scene in scenes])
        return [round(float(value), 1) for value in color.mean(axis=0)]

    @property
    def num_val(self) -> int:
        return len(self.val_rooms)

    def card(self) -> dict[str, Any]:
        return {
            "kind": "points",
            "features": list(self.features),
            "grid_size": self.grid_size,
            "missing_fields": {"color": self.mean_color, "normal": "estimate"},
        }

    def train_loader(self, *, seed: int = 0) -> EpochLoader:
        """Batches of augmented samples; their order and random numbers depend on ``seed`` and epoch."""
        dataset = TrainingRooms(
            self._files(self.train_rooms),
            grid_size=self.grid_size,
            max_voxels=self.max_voxels,
            crop_center=self.crop_center,
            point_transforms=self.point_transforms,
            voxel_transforms=self.voxel_transforms,
            seed=seed,
        )
        sampler = EpochSampler(len(dataset), batch_size=self.batch_size, loop=self.loop, seed=seed)
        collate = Collate(features=self.features, grid_size=self.grid_size, mix_prob=self.mix_prob)
        return EpochLoader(dataset, sampler, collate, num_workers=self.num_workers)

    def val_loader(self) -> RoomLoader:
        """Every validation room whole, not augmented, one a batch; ``y`` are the labels of its voxels."""
        dataset = WholeRooms(self._files(self.val_rooms), grid_size=self.grid_size)
        sampler = ShardSampler([room.num_points for room in self.val_rooms])
        collate = Collate(features=self.features, grid_size=self.grid_size)
        return RoomLoader(dataset, sampler, collate, batch_size=1, num_workers=self.num_workers)

    def _files(self, entries: tuple[SceneEntry, ...]) -> RoomFiles:
        return RoomFiles(root=self.root, entries=entries, needs_normals="normal" in self.features)

    def _in_splits(self, splits: Sequence[str], key: str) -> tuple[SceneEntry, ...]:
        for split in splits:
            if split not in self.manifest.splits:
                known = ", ".join(self.manifest.splits)
                raise UserError(f"data.{key}: no area or split {split!r} in {self.root}; there are {known}")
        return tuple(entry for entry in self.manifest.scenes if entry.split in splits)

    def _named(self, rooms: Sequence[str]) -> tuple[SceneEntry, ...]:
        known = {f"{entry.split}/{entry.name}": entry for entry in self.manifest.scenes}
        for room in rooms:
            if room not in known:
                raise UserError(f"data.val_rooms: no {room!r} in {self.root}; names are like {min(known)!r}")
        return tuple(known[room] for room in rooms)


def held_out(rooms: tuple[SceneEntry, ...], fraction: float) -> tuple[SceneEntry, ...]:
    """A share of the rooms of every split, chosen by the hash of their names alone.

    Every split gives at least one room and keeps at least one, so a split with a single room gives none;
    where no split can give one, the rooms are taken as one split. No room is held out with ``fraction`` 0.
    All visits of a space of ScanNet stay together.
    """
    splits = {room.split for room in rooms}
    chosen = [room for split in splits for room in _share([r for r in rooms if r.split == split], fraction)]
    return tuple(sorted(chosen or _share(list(rooms), fraction), key=lambda room: room.path))


def _share(rooms: list[SceneEntry], fraction: float) -> list[SceneEntry]:
    """Whole spaces, so that no room is validated on that another visit of ScanNet trains on."""
    number = 0 if fraction == 0 else min(max(round(fraction * len(rooms)), 1), len(rooms) - 1)
    spaces: dict[str, list[SceneEntry]] = {}
    for room in rooms:
        visits = _VISIT.fullmatch(room.name)
        spaces.setdefault(f"{room.split}/{visits[1] if visits else room.name}", []).append(room)
    chosen: list[SceneEntry] = []
    for space in sorted(spaces, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if len(chosen) < number and len(chosen) + len(spaces[space]) < len(rooms):
            chosen += spaces[space]
    return chosen
