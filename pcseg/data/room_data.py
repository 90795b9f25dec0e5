"""Rooms of a prepared folder for training: which rooms train, validate and test, and how they are augmented."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pcseg.data.collate import Collate
from pcseg.data.features import num_features
from pcseg.data.loaders import SampleKey
from pcseg.data.manifest import Manifest, SceneEntry
from pcseg.data.rooms import RoomFiles
from pcseg.data.training_data import Items, TrainingData, augmented, hold_out
from pcseg.data.transforms import CropCenter, GridSample, IndoorColor, IndoorGeometry, SphereCrop, Transform
from pcseg.errors import UserError
from pcseg.labels import LabelSchema
from pcseg.values import Epochs, Few, Names, PositiveInt, PositiveMeters, Probability, Workers, checked

logger = logging.getLogger(__name__)


def has_labels(room: SceneEntry) -> bool:
    """Return whether any point of a room has a class."""
    return any(room.class_histogram)


def _same_room(key: SampleKey, *, files: RoomFiles, grid_size: float) -> Any:
    return files.whole(key.index, grid_size=grid_size)


class RoomData(TrainingData):
    """Rooms of a prepared folder for training, validation and test.

    Args:
        root: Prepared folder, with ``manifest.json``.
        grid_size: Edge of a voxel in meters.
        features: Input features in order: color, height (above the lowest points of the room), floor (height above the
            local ground of the storey), ceiling (depth below the local ceiling, and whether there is one), normal, pos.
        room_axes: Rotate every room into level axes along its walls, in training and prediction. Use augmentations
            that keep these axes, such as rotations by 90 degrees.
        test_splits: Areas or splits kept for the test.
        train_splits: Areas or splits to train on; default: all others.
        val_splits: Areas or splits to validate on; default: training rooms are held out.
        val_fraction: Part of the rooms of every training split that is held out, at least one.
        val_rooms: Rooms to hold out, as ``<split>/<scene>``, instead of a fraction.
        point_transforms: Augmentations of all points of a room, before grid sampling; default: IndoorGeometry.
        voxel_transforms: Augmentations after grid sampling and cropping, which must not move points; default:
            IndoorColor.
        whole_rooms: Train on whole rooms without augmentation, with the same points in every epoch, for
            cached features of a frozen encoder.
        missing_color: Color that prediction gives to clouds without colors: the mean of the training data, or zero
            as in the training of published encoders.
        max_voxels: Maximum number of voxels of a training sample; larger ones are cropped to a sphere.
        crop_center: Center of a crop: any point, or a point of a random class, which shows rare classes more often.
        batch_size: Number of samples in a batch of one process.
        loop: Number of times an epoch shows every room.
        mix_prob: Probability that the samples of a batch are mixed in pairs (Mix3D).
        num_workers: Number of loading processes; results do not depend on it.

    Raises:
        UserError: Not a prepared folder, an unknown split, room or feature, no labeled room to train on, or a room that
            is in the test split too.

    Convention:
        Rooms without labels are neither trained on nor held out.
    """

    kind = "rooms"

    @checked("data.")
    def __init__(
        self,
        root: Path,
        *,
        grid_size: PositiveMeters = 0.05,
        features: Names = ("color", "height"),
        room_axes: bool = False,
        test_splits: Sequence[str] = ("Area_5",),
        train_splits: Names | None = None,
        val_splits: Names | None = None,
        val_fraction: Probability = 0.1,
        val_rooms: Names | None = None,
        point_transforms: list[Transform] | None = None,
        voxel_transforms: list[Transform] | None = None,
        whole_rooms: bool = False,
        missing_color: Literal["mean", "zero"] = "mean",
        max_voxels: PositiveInt = 100_000,
        crop_center: CropCenter = "point",
        batch_size: Few = 4,
        loop: Epochs = 1,
        mix_prob: Probability = 0.0,
        num_workers: Workers = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, loop=loop, num_workers=num_workers)
        self.root = Path(root)
        self.grid_size = grid_size
        self.features = tuple(features)
        self.room_axes = room_axes
        self.in_channels = num_features(self.features)
        self.point_transforms = [IndoorGeometry()] if point_transforms is None else point_transforms
        self.voxel_transforms = [IndoorColor()] if voxel_transforms is None else voxel_transforms
        self.fixed = whole_rooms
        self.missing_color = missing_color
        self.max_voxels = max_voxels
        self.crop_center: CropCenter = crop_center
        self.mix_prob = mix_prob
        if mix_prob > 0 and whole_rooms:
            raise UserError("data.mix_prob: mixes whole rooms at random. Set it to 0 for data.whole_rooms.")
        if mix_prob > 0 and batch_size == 1:
            raise UserError("data.mix_prob: samples are mixed in pairs. Use a data.batch_size of at least 2.")
        self.manifest = Manifest.read(self.root)
        self.test_rooms = self._in_splits(test_splits, "test_splits")
        others = [split for split in self.manifest.splits if split not in {*test_splits, *(val_splits or ())}]
        rooms = self._labeled(
            self._in_splits(others if train_splits is None else train_splits, "train_splits")
        )
        if val_splits is not None:
            self.val_rooms = self._in_splits(val_splits, "val_splits")
        elif val_rooms is not None:
            self.val_rooms = self._named(val_rooms)
        else:
            self.val_rooms = self._held_out(rooms, val_fraction)
        self.train_rooms = tuple(room for room in rooms if room not in self.val_rooms)
        self._check_rooms()

    def _check_rooms(self) -> None:
        """Check that no test room is trained or validated on and that at least one room remains to train on."""
        training, val, test = (
            ("training", self.train_rooms), ("validation", self.val_rooms), ("test", self.test_rooms)
        )  # fmt: skip
        for (name, rooms), (other, others) in ((training, test), (val, test), (training, val)):
            contents = {room.content: room.path for room in others if room.num_points}
            shared = next((room for room in rooms if room.content in contents), None)
            if shared is not None and shared in others:
                raise UserError(
                    f"{self.root}: {shared.path} is used for both {name} and {other}. Check data.*_splits."
                )
            if shared is not None:
                raise UserError(
                    f"{self.root}: {shared.path}, used for {name}, has the points of {contents[shared.content]}, used "
                    f"for {other}. Remove one of them and prepare the data again."
                )
        if not self.train_rooms:
            raise UserError(
                f"{self.root}: no rooms remain to train on. Check data.*_splits and data.val_rooms."
            )

    @property
    def schema(self) -> LabelSchema:
        return self.manifest.schema

    @property
    def manifest_hash(self) -> str:
        return self.manifest.hash

    @cached_property
    def class_counts(self) -> Tensor:
        """Number of training points per class, int64, ``(K,)``."""
        return torch.tensor([entry.class_histogram for entry in self.train_rooms]).sum(dim=0)

    @property
    def has_val_labels(self) -> bool:
        return any(map(has_labels, self.val_rooms))

    @property
    def val_sizes(self) -> list[int]:
        return [room.num_points for room in self.val_rooms]

    def card(self) -> dict[str, Any]:
        fields = {
            "features": list(self.features),
            "grid_size": self.grid_size,
            "room_axes": self.room_axes,
        }
        color = replace(self.manifest, scenes=self.train_rooms).mean_color
        if self.missing_color == "zero":
            color = [0.0, 0.0, 0.0]
        if color is None:  # a manifest of an older version; the card's default is gray
            return fields
        mean = [round(value, 1) for value in color]
        return fields | {"missing_fields": {"color": mean, "normal": "estimate"}}

    def train_dataset(self, seed: int) -> Items:
        """Return rooms that are augmented, grid sampled, cropped to ``max_voxels``, and augmented again."""
        files = self._files(self.train_rooms)
        if self.fixed:
            same = partial(_same_room, files=files, grid_size=self.grid_size)
            return Items(make=same, count=len(files))
        sampling = GridSample(grid_size=self.grid_size)
        crop = SphereCrop(max_points=self.max_voxels, center=self.crop_center)
        make = partial(
            files.augmented,
            point_transforms=self.point_transforms,
            voxel_transforms=[sampling, crop, *self.voxel_transforms],
        )
        return Items(make=partial(augmented, make=make, seed=seed), count=len(files))

    def val_dataset(self) -> Items:
        """Return whole rooms, not augmented; ``y`` holds the labels of their voxels."""
        files = self._files(self.val_rooms)
        return Items(make=partial(files.whole, grid_size=self.grid_size), count=len(files))

    def collate(self, *, training: bool) -> Callable[[Sequence[Any]], Any]:
        mix_prob = self.mix_prob if training else 0.0
        return Collate(features=self.features, grid_size=self.grid_size, mix_prob=mix_prob)

    def _files(self, entries: tuple[SceneEntry, ...]) -> RoomFiles:
        return RoomFiles(
            root=self.root,
            entries=entries,
            features=self.features,
            schema=self.schema,
            room_axes=self.room_axes,
        )

    def _in_splits(self, splits: Sequence[str], key: str) -> tuple[SceneEntry, ...]:
        for split in splits:
            if split not in self.manifest.splits:
                known = ", ".join(self.manifest.splits)
                raise UserError(
                    f"data.{key}: {self.root} has no area or split {split!r}. Choose from {known}."
                )
        return tuple(entry for entry in self.manifest.scenes if entry.split in splits)

    def _named(self, rooms: Sequence[str]) -> tuple[SceneEntry, ...]:
        known = {f"{entry.split}/{entry.name}": entry for entry in self.manifest.scenes}
        for room in rooms:
            if room not in known:
                raise UserError(
                    f"data.val_rooms: {self.root} has no room {room!r}. Use names such as {min(known)!r}."
                )
            if not has_labels(known[room]):
                raise UserError(f"data.val_rooms: {room} has no labels. Name a room with labels.")
        return tuple(known[room] for room in rooms)

    def _labeled(self, rooms: tuple[SceneEntry, ...]) -> tuple[SceneEntry, ...]:
        labeled = tuple(room for room in rooms if has_labels(room))
        without = [room.path for room in rooms if not has_labels(room)]
        if without and not labeled:
            raise UserError(
                f"{self.root}: none of the {len(rooms)} training rooms has labels. Label some or check data.*_splits."
            )
        if without:
            logger.warning(
                "%s: %d of %d training rooms have no labels and are left out, such as %s.",
                self.root, len(without), len(rooms), without[0],
            )  # fmt: skip
        return labeled

    def _held_out(self, rooms: Sequence[SceneEntry], fraction: float) -> tuple[SceneEntry, ...]:
        """Choose rooms of every split; all scans of one space (see :class:`SceneEntry`) and copies stay together."""
        by_name = {f"{room.split}/{room.name}": room for room in rooms}
        first = {room.content: room for room in reversed(rooms)}
        originals = {name: first[room.content] for name, room in by_name.items()}
        spaces = {name: f"{room.split}/{room.space or room.name}" for name, room in originals.items()}
        chosen = hold_out(spaces, fraction)
        return tuple(room for name, room in by_name.items() if name in chosen)
