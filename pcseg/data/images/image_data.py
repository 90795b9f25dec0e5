"""Image data of an experiment: training, validation and test images, and their batches."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from pcseg.data.images.augment import Augmentation
from pcseg.data.images.batch import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageBatch,
    Normalize,
    Pictures,
    collate_images,
)
from pcseg.data.images.reader import Picture
from pcseg.data.images.readers import IMAGE_READERS, ImageSet
from pcseg.data.training_data import Items, TrainingData, augmented, hold_out
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX, LabelSchema
from pcseg.values import Epochs, Few, Filled, Names, Positive, Share, Workers, checked

COUNTED = 200
"""Number of training images, evenly spread, on which classes are counted."""


def real_file(picture: Picture) -> str:
    """Return the path of an image without links."""
    return os.path.realpath(picture.image)


class ImageData(TrainingData):
    """Labeled images of a data set for training, validation and test.

    Args:
        root: Folder of the unpacked data set.
        dataset: Kind of the data set.
        crop_size: Height and width of a training sample in pixels.
        scales: Smallest and largest factor on the size of a training image.
        scale_step: Step between factors; default: factors are continuous.
        base_size: Length of the longer edge at factor 1, in training and test; default: that of the image, 640 for
            frames of ScanNet.
        short_sides: Lengths of the shorter edge to choose from, instead of factors.
        flip: Mirror training images with probability 0.5.
        color_jitter: Strength of changes of brightness, contrast and saturation, each with probability 0.5.
        hue_jitter: Largest rotation of the hue in degrees, with probability 0.5.
        mean: Mean of red, green and blue in 0..255; blue first with ``bgr``.
        std: Standard deviation, likewise.
        bgr: Reverse the channels, as for models trained with OpenCV, such as CCNet.
        train_splits: Training splits; default: those of the data set.
        val_splits: Validation splits; default: training images are held out.
        val_fraction: Part of the training images that is held out; frames of a scene stay together.
        test_splits: Test splits; default: those of the data set.
        batch_size: Images per batch and process.
        loop: Number of times that an epoch uses every image.
        num_workers: Number of loading processes; results do not depend on it.

    Raises:
        UserError: A missing folder, split or list, an empty split, a value out of range.

    Convention:
        Validation during training uses whole images at factor 1, padded to ``crop_size``, to choose a checkpoint.
        Results to report come from ``pcseg evaluate``, which slides a window.
    """

    kind = "images"
    in_channels = 3

    @checked("data.")
    def __init__(
        self,
        root: Path,
        *,
        dataset: ImageSet,
        crop_size: tuple[Few, Few] = (480, 480),
        scales: tuple[Positive, Positive] = (0.5, 2.0),
        scale_step: Positive | None = None,
        base_size: Few | None = None,
        short_sides: Annotated[Sequence[Few], Filled()] | None = None,
        flip: bool = True,
        color_jitter: Share = 0.0,
        hue_jitter: float = 0.0,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        bgr: bool = False,
        train_splits: Names | None = None,
        val_splits: Names | None = None,
        val_fraction: Share = 0.05,
        test_splits: Sequence[str] | None = None,
        batch_size: Few = 8,
        loop: Epochs = 1,
        num_workers: Workers = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, loop=loop, num_workers=num_workers)
        self.root = Path(root)
        self.reader = IMAGE_READERS[dataset](self.root)
        self.augmentation = Augmentation(
            crop_size=crop_size,
            scales=scales,
            scale_step=scale_step,
            base_size=self.reader.base_size if base_size is None else base_size,
            short_sides=short_sides,
            flip=flip,
            color_jitter=color_jitter,
            hue_jitter=hue_jitter,
        )
        self.normalize = Normalize(mean=mean, std=std, bgr=bgr)
        self.test_splits = self.reader.test_splits if test_splits is None else test_splits
        val, train = self._choose(train_splits, val_splits, val_fraction)
        self.val_pictures, self.train_pictures = val, train
        if not train:
            raise UserError(f"{root}: no images to train on. Check data.*_splits and data.val_fraction.")

    def _choose(
        self, train_splits: Sequence[str] | None, val_splits: Sequence[str] | None, val_fraction: float
    ) -> tuple[list[Picture], list[Picture]]:
        """Return the validation and the training images."""
        splits = self.reader.train_splits if train_splits is None else train_splits
        splits = [split for split in splits if train_splits is not None or split not in self.test_splits]
        for key, named in (("train_splits", splits), ("val_splits", val_splits or ())):
            both = set(named) & set(self.test_splits)
            if both:
                raise UserError(
                    f"data.{key} and data.test_splits share {min(both)!r}. Remove it from one of them."
                )
        train = [picture for split in splits for picture in self.reader.pictures(split) if picture.label]
        val = [picture for split in val_splits or () for picture in self.reader.pictures(split)]
        tested = [split for split in self.test_splits if split in self.reader.splits]
        test = {real_file(picture) for split in tested for picture in self.reader.find(split)}
        shared = next((picture for picture in [*train, *val] if real_file(picture) in test), None)
        if shared is not None:
            raise UserError(f"{shared.image}: the same file is in the test split. Remove one of its names.")
        if val_splits is not None:
            return val, train
        groups = [f"{picture.split}/{picture.group}" for picture in train]
        spaces = [f"{picture.split}/{self.reader.space(picture.group)}" for picture in train]
        held = hold_out(dict(zip(groups, spaces)), val_fraction)
        return (
            [picture for picture, group in zip(train, groups) if group in held],
            [picture for picture, group in zip(train, groups) if group not in held],
        )

    @property
    def schema(self) -> LabelSchema:
        return self.reader.schema

    @cached_property
    def class_counts(self) -> Tensor:
        """Pixels per class in up to :data:`COUNTED` training images."""
        step = -(-len(self.train_pictures) // COUNTED)
        counts = [self._counts(picture) for picture in self.train_pictures[::step]]
        return torch.from_numpy(np.sum(counts, axis=0))

    @cached_property
    def has_val_labels(self) -> bool:
        return any(self._counts(picture).any() for picture in self.val_pictures)

    def _counts(self, picture: Picture) -> np.ndarray:
        label = np.full(1, IGNORE_INDEX) if picture.label is None else self.reader.read_label(picture.label)
        return np.bincount(label[label >= 0], minlength=self.schema.num_classes)

    @property
    def manifest_hash(self) -> str:
        """Hash of the names of the data set, its classes and its training and validation images, not of pixels."""
        names = [[f"{p.split}/{p.name}" for p in part] for part in (self.train_pictures, self.val_pictures)]
        text = json.dumps([self.reader.dataset, self.schema.to_json(), *names])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def val_sizes(self) -> list[int]:
        return [0] * len(self.val_pictures)

    def card(self) -> dict[str, Any]:
        return {"kind": "images", "features": ["image"], "grid_size": 0.0}

    def train_dataset(self, seed: int) -> Items:
        pictures = self._pictures(self.train_pictures)
        make = partial(pictures.augmented, augmentation=self.augmentation)
        return Items(make=partial(augmented, make=make, seed=seed), count=len(pictures))

    def val_dataset(self) -> Items:
        pictures, options = self._pictures(self.val_pictures), self.augmentation
        make = partial(pictures.whole, least_size=options.crop_size, base_size=options.base_size)
        return Items(make=make, count=len(pictures))

    def collate(self, *, training: bool) -> Callable[[Sequence[Any]], ImageBatch]:
        return collate_images

    def _pictures(self, entries: Sequence[Picture]) -> Pictures:
        return Pictures(reader=self.reader, entries=entries, normalize=self.normalize)
