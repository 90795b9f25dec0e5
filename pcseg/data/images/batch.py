"""Images on their way from files to a model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from pcseg.errors import UserError


@dataclass(kw_only=True)
class ImageBatch:
    """Images of one size with the labels of their pixels.

    Args:
        image: ``(B, 3, H, W)`` float32, normalised.
        labels: ``(B, H, W)`` int64, a class or ``IGNORE_INDEX``.
        names: What each image is called.
    """

    image: Tensor
    labels: Tensor
    names: list[str]

    @property
    def y(self) -> Tensor:
        """Labels ``(B*H*W,)`` in (image, y, x) order, as the rows of the logits."""
        return self.labels.flatten()

    @property
    def num_graphs(self) -> int:
        """Number of images; PyG's word for the number of scenes in a batch."""
        return len(self.image)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        return replace(
            self,
            image=self.image.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> Self:
        return replace(self, image=self.image.pin_memory(), labels=self.labels.pin_memory())


@dataclass(frozen=True, kw_only=True)
class Normalize:
    """How the numbers of an image are scaled for a model.

    Args:
        mean, std: Subtracted from and divided by, for red, green and blue in 0..255 (blue, green, red with ``bgr``).
        bgr: Channels in reverse order, as OpenCV reads files and CCNet was trained.
    """

    mean: Sequence[float]
    std: Sequence[float]
    bgr: bool = False

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3:
                raise UserError(f"data.{name} has {len(values)} numbers; give one for each of three channels")
        if min(self.std) <= 0:
            raise UserError(f"data.std is {list(self.std)}; it must be above 0")
        if 0 < max(self.mean) <= 1:
            raise UserError(f"data.mean is {list(self.mean)}; give it and data.std for colours in 0..255")

    def __call__(self, image: np.ndarray) -> Tensor:
        """``(H, W, 3)`` colours in 0..255, red first, as ``(3, H, W)`` float32."""
        if self.bgr:
            image = image[..., ::-1]
        scaled = (image - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1), dtype=np.float32))


def collate_images(items: Sequence[tuple[Tensor, Tensor, str]]) -> ImageBatch:
    """A batch of images, labels and names, all of one size."""
    images, labels, names = zip(*items)
    return ImageBatch(image=torch.stack(images), labels=torch.stack(labels), names=list(names))
