"""Labeled images as training samples and as whole images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pcseg.data.images.augment import Augmentation, pad, resize, scaled_size
from pcseg.data.images.batch import Normalize
from pcseg.data.images.reader import ImageReader, Picture
from pcseg.data.samplers import SampleKey

Item = tuple[Tensor, Tensor, str]
"""Image ``(3, H, W)`` float32, labels ``(H, W)`` int64, name."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Images of a data set; files are opened when an image is read.

    Args:
        reader: Reader of the data set.
        entries: The images.
        normalize: Scaling of the colors.
    """

    reader: ImageReader
    entries: Sequence[Picture]
    normalize: Normalize

    def __len__(self) -> int:
        return len(self.entries)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return colors ``(H, W, 3)`` uint8 and labels ``(H, W)`` int16."""
        return self.reader.read(self.entries[index])

    @property
    def fill(self) -> list[float]:
        """Color, red first, that is normalized to 0."""
        mean = list(self.normalize.mean)
        return mean[::-1] if self.normalize.bgr else mean

    def item(self, index: int, image: np.ndarray, label: np.ndarray) -> Item:
        labels = torch.from_numpy(label.astype(np.int64))
        return self.normalize(image), labels, self.entries[index].name


class TrainingImages(Dataset[Item]):
    """Augmented crops of images.

    Args:
        pictures: The images.
        augmentation: Random scale, crop, mirror image and colors.
        seed: Determines, with the key of a sample, its random numbers.

    Convention:
        A sample depends on its seed and key only, as in :class:`pcseg.data.rooms.TrainingRooms`.
    """

    def __init__(self, pictures: Pictures, *, augmentation: Augmentation, seed: int) -> None:
        self.pictures = pictures
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, key: SampleKey) -> Item:
        rng = np.random.default_rng((self.seed, key.epoch, key.position))
        image, label = self.pictures.read(key.index)
        return self.pictures.item(key.index, *self.augmentation(image, label, self.pictures.fill, rng))


class WholeImages(Dataset[Item]):
    """Whole images, padded to at least ``least_size`` (height, width).

    Args:
        pictures: The images.
        least_size: Smallest height and width.
        base_size: Length of the longer edge to which images and labels are resized; default: no resizing.
    """

    def __init__(
        self, pictures: Pictures, *, least_size: tuple[int, int], base_size: int | None = None
    ) -> None:
        self.pictures = pictures
        self.least_size = least_size
        self.base_size = base_size

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Item:
        image, label = self.pictures.read(index)
        height, width = label.shape
        size = scaled_size(height, width, 1.0, base_size=self.base_size)
        image, label = resize(image, label, size)
        return self.pictures.item(index, *pad(image, label, self.least_size, self.pictures.fill))
