"""Labeled images as training samples and as whole images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pcseg.data.images.augment import Augmentation, pad, resize, scaled_size
from pcseg.data.images.batch import Normalize
from pcseg.data.images.reader import ImageReader, Picture

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

    def augmented(self, index: int, rng: np.random.Generator, *, augmentation: Augmentation) -> Item:
        """Return a training sample of an image."""
        image, label = self.reader.read(self.entries[index])
        return self._item(index, *augmentation(image, label, self._fill, rng))

    def whole(self, index: int, *, least_size: tuple[int, int], base_size: int | None = None) -> Item:
        """Return a whole image.

        Args:
            index: Number of the image.
            least_size: Height and width that it is padded to at least.
            base_size: Length of the longer edge to which image and labels are resized; default: no resizing.
        """
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
