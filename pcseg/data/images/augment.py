"""Augmentation of training images, and the resizing and padding shared with evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pcseg.errors import require
from pcseg.labels import IGNORE_INDEX


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random scale, crop, mirror image and colors of a training image.

    The fields are options of :class:`~pcseg.data.images.image_data.ImageData`, which describes them and checks the
    range of each.
    """

    crop_size: tuple[int, int]
    scales: tuple[float, float] = (0.5, 2.0)
    scale_step: float | None = None
    base_size: int | None = None
    short_sides: Sequence[int] | None = None
    flip: bool = True
    color_jitter: float = 0.0
    hue_jitter: float = 0.0

    def __post_init__(self) -> None:
        order = "Give the smallest and the largest factor, both above 0."
        require(self.scales[0] <= self.scales[1], "data.scales", self.scales, order)
        angle = "Give an angle from 0 to 180 degrees."
        require(0 <= self.hue_jitter <= 180, "data.hue_jitter", self.hue_jitter, angle)

    def __call__(
        self, image: np.ndarray, label: np.ndarray, fill: Sequence[float], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a sample of ``crop_size`` of an image and its labels; padding is ``fill`` and ignored."""
        image, label = resize(image, label, self._new_size(image.shape[0], image.shape[1], rng))
        if self.flip and rng.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1]
        image, label = random_crop(image, label, self.crop_size, rng)
        if self.color_jitter > 0 or self.hue_jitter > 0:
            image = change_colors(image, self.color_jitter, self.hue_jitter, rng)
        return pad(image, label, self.crop_size, fill)

    def _new_size(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int]:
        if self.short_sides is not None:
            factor = int(rng.choice(np.asarray(self.short_sides))) / min(height, width)
            return max(round(height * factor), 1), max(round(width * factor), 1)
        low, high = self.scales
        if self.scale_step is None:
            factor = float(rng.uniform(low, high))
        else:
            factor = low + self.scale_step * int(rng.integers(int((high - low) / self.scale_step + 1e-6) + 1))
        return scaled_size(height, width, factor, base_size=self.base_size)


def scaled_size(height: int, width: int, factor: float, *, base_size: int | None = None) -> tuple[int, int]:
    """Return height and width at a factor; ``base_size`` is the length of the longer edge at factor 1."""
    if base_size is not None:
        factor *= base_size / max(height, width)
    return max(round(height * factor), 1), max(round(width * factor), 1)


def resize(image: np.ndarray, label: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Resize an image with interpolation and its labels to the nearest pixel; ``size`` is (height, width).

    Convention:
        An image that becomes smaller is antialiased.
    """
    if size == image.shape[:2]:
        return image, label
    wide = Image.fromarray(label.astype(np.int32))  # Pillow reads 16 bits as unsigned
    nearest = np.asarray(wide.resize((size[1], size[0]), Image.Resampling.NEAREST)).astype(label.dtype)
    return resize_colors(image, size), nearest


def resize_colors(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ``(H, W, 3)`` uint8 with interpolation; ``size`` is (height, width)."""
    if size == image.shape[:2]:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def random_crop(
    image: np.ndarray, label: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a random window of at most ``size``: along an edge that is shorter, the whole edge."""
    top, left = (int(rng.integers(max(have - want, 0) + 1)) for have, want in zip(label.shape, size))
    window = slice(top, top + size[0]), slice(left, left + size[1])
    return image[window], label[window]


def pad(
    image: np.ndarray, label: np.ndarray, size: tuple[int, int], fill: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Pad to at least ``size`` at the right and the bottom, with the color ``fill`` and ignored labels."""
    height, width = image.shape[:2]
    if height >= size[0] and width >= size[1]:
        return image, label
    shape = max(height, size[0]), max(width, size[1])
    wide = np.empty((*shape, 3), np.float32)
    wide[:] = fill
    wide[:height, :width] = image
    wide_label = np.full(shape, IGNORE_INDEX, label.dtype)
    wide_label[:height, :width] = label
    return wide, wide_label


def change_colors(image: np.ndarray, strength: float, hue: float, rng: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast, saturation and hue of ``(H, W, 3)`` uint8, each with probability 0.5.

    Convention:
        The functions of torchvision.transforms.v2 with our own random numbers, so that a sample depends on its key
        alone. On Pillow images they take 0.85x the time of the same changes in NumPy (480 x 480 pixels).
    """
    from torchvision.transforms.v2 import functional as F

    factors = rng.uniform(1 - strength, 1 + strength, 3)
    turn = rng.uniform(-hue, hue) / 360
    chosen = rng.random(4) < 0.5
    picture: Any = Image.fromarray(image)  # torchvision declares tensors only
    changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation)
    for change, factor, apply in zip(changes, factors, chosen):
        picture = change(picture, float(factor)) if apply else picture
    return np.asarray(F.adjust_hue(picture, turn) if chosen[3] else picture)
