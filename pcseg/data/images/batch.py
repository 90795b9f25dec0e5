"""Labeled images as training samples, whole images and batches, with colors scaled for a model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pcseg.data.images.augment import Augmentation, pad, resize, scaled_size
from pcseg.data.images.reader import ImageReader, Picture
from pcseg.errors import UserError, require
from pcseg.nn.levels import ImageBatch

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Mean and standard deviation of red, green and blue in 0..255, as most pretrained weights expect them."""


@dataclass(frozen=True, kw_only=True)
class Normalize:
    """Scales the colors of an image for a model.

    Args:
        mean, std: Mean and standard deviation of red, green and blue in 0..255 (blue, green, red with ``bgr``).
        bgr: Reverse the channels, as for models trained with OpenCV, such as CCNet.
    """

    mean: Sequence[float]
    std: Sequence[float]
    bgr: bool = False

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3:
                raise UserError(f"data.{name} has {len(values)} numbers. Give one per channel.")
        require(min(self.std) > 0, "data.std", list(self.std), "Give values above 0.")
        if 0 < max(self.mean) <= 1:
            raise UserError(
                f"data.mean: {list(self.mean)} is for colors in 0..1. Give data.mean and data.std for colors in 0..255."
            )

    def __call__(self, image: np.ndarray) -> Tensor:
        """Scale ``(H, W, 3)`` colors in 0..255, red first, to ``(3, H, W)`` float32."""
        if self.bgr:
            image = image[..., ::-1]
        scaled = (image - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1), dtype=np.float32))


def collate_images(items: Sequence[tuple[Tensor, Tensor, str]]) -> ImageBatch:
    """Make a batch of images, labels and names, all of one size."""
    images, labels, names = zip(*items)
    return ImageBatch(image=torch.stack(images), labels=torch.stack(labels), names=list(names))


Item = tuple[Tensor, Tensor, str]
"""Image ``(3, H, W)`` float32, labels ``(H, W)`` int64, name."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Images of a data set; files are opened when an image is read."""

    reader: ImageReader
    entries: Sequence[Picture]
    normalize: Normalize

    def __len__(self) -> int:
        return len(self.entries)

    def augmented(self, index: int, rng: np.random.Generator, *, augmentation: Augmentation) -> Item:
        """Return a training sample of an image."""
        image, label = self.reader.read(self.entries[index])
        return self._item(index, *augmentation(image, label, self._fill, rng))

    def whole(self, index: int, *, least_size: tuple[int, int], base_size: int | None = None) -> Item:
        """Return a whole image, resized to a longer edge of ``base_size`` pixels and padded to ``least_size``."""
        image, label = self.reader.read(self.entries[index])
        image, label = resize(image, label, scaled_size(*label.shape, 1.0, base_size=base_size))
        return self._item(index, *pad(image, label, least_size, self._fill))

    @property
    def _fill(self) -> list[float]:
        """Color, red first, that is normalized to 0."""
        mean = list(self.normalize.mean)
        return mean[::-1] if self.normalize.bgr else mean

    def _item(self, index: int, image: np.ndarray, label: np.ndarray) -> Item:
        return self.normalize(image), torch.from_numpy(label.astype(np.int64)), self.entries[index].name
