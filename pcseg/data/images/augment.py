"""Random changes of training images, and the resizing and padding that tests share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Scale, crop, mirror and colours of a training image.

    Args:
        crop_size: Height and width of a training sample.
        scales: Lowest and highest factor on the size of an image.
        scale_step: Distance between factors that are tried; any factor without a value.
        base_size: Length of the longer edge at factor 1; the image's own without a value.
        short_sides: Lengths of the shorter edge that one is drawn of, in place of factors.
        flip: Mirror every other image.
        color_jitter: Strength of changes of brightness, contrast and saturation, each made every other time.
        hue_jitter: Largest turn of the hue in degrees, made every other time.

    Raises:
        UserError: A number out of range.
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
        low, high = self.scales
        if not 0 < low <= high:
            raise UserError(
                f"data.scales is {list(self.scales)}; give the lowest and the highest factor, above 0"
            )
        if self.scale_step is not None and self.scale_step <= 0:
            raise UserError(
                f"data.scale_step is {self.scale_step}; give a distance above 0, or null for any factor"
            )
        if self.base_size is not None and self.base_size < 1:
            raise UserError(f"data.base_size is {self.base_size}; give a length in pixels, or null")
        if self.short_sides is not None and (not self.short_sides or min(self.short_sides) < 1):
            raise UserError(f"data.short_sides is {list(self.short_sides)}; give lengths in pixels, or null")
        if min(self.crop_size) < 1:
            raise UserError(f"data.crop_size is {list(self.crop_size)}; give height and width in pixels")
        if not 0 <= self.color_jitter < 1 or not 0 <= self.hue_jitter <= 180:
            raise UserError("data.color_jitter must be in [0, 1) and data.hue_jitter in [0, 180]")

    def __call__(
        self, image: np.ndarray, label: np.ndarray, fill: Sequence[float], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """A sample of ``crop_size`` of an image and its labels; what lies outside is ``fill`` and ignored."""
        image, label = resize(image, label, self._new_size(image.shape[0], image.shape[1], rng))
        if self.flip and rng.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1]
        image, label = random_crop(image, label, self.crop_size, fill, rng)
        if self.color_jitter > 0 or self.hue_jitter > 0:
            image = change_colors(image, self.color_jitter, self.hue_jitter, rng)
        return image, label

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
    """Height and width at a factor; with ``base_size``, the length of the longer edge at factor 1."""
    if base_size is not None:
        factor *= base_size / max(height, width)
    return max(round(height * factor), 1), max(round(width * factor), 1)


def resize(image: np.ndarray, label: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels at ``size`` (height, width): interpolated, and the label of the nearest pixel.

    Convention:
        Pixels that are taken together are averaged when an image becomes smaller.
    """
    if size == image.shape[:2]:
        return image, label
    wide = Image.fromarray(label.astype(np.int32))  # Pillow takes 16 bits for unsigned
    nearest = np.asarray(wide.resize((size[1], size[0]), Image.Resampling.NEAREST)).astype(label.dtype)
    return resize_colors(image, size), nearest


def resize_colors(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``(H, W, 3)`` uint8 at ``size`` (height, width), interpolated."""
    if size == image.shape[:2]:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def random_crop(
    image: np.ndarray,
    label: np.ndarray,
    size: tuple[int, int],
    fill: Sequence[float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """A window of ``size`` anywhere in the image; an image that is too small is padded at its end."""
    image, label = pad(image, label, size, fill)
    top = int(rng.integers(image.shape[0] - size[0] + 1))
    left = int(rng.integers(image.shape[1] - size[1] + 1))
    window = slice(top, top + size[0]), slice(left, left + size[1])
    return image[window], label[window]


def pad(
    image: np.ndarray, label: np.ndarray, size: tuple[int, int], fill: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """At least ``size``: colour ``fill`` and no label at the right and at the bottom."""
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
    """Brightness, contrast, saturation and hue, each changed every other time, ``(H, W, 3)`` float32 in 0..255."""
    image = image.astype(np.float32)
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3)
    turn = rng.uniform(-hue, hue) if hue else 0.0
    chosen = rng.random(4) < 0.5
    if chosen[0]:
        image = image * np.float32(brightness)
    if chosen[1]:
        image = _between(np.float32(_gray(image).mean()), image, contrast)
    if chosen[2]:
        image = _between(_gray(image)[..., None], image, saturation)
    image = np.clip(image, 0, 255)
    if chosen[3] and turn:
        hsv = np.array(Image.fromarray(image.astype(np.uint8)).convert("HSV"))
        hsv[..., 0] = (hsv[..., 0].astype(np.int32) + round(turn / 360 * 256)) % 256
        image = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB")).astype(np.float32)
    return image


def _gray(image: np.ndarray) -> np.ndarray:
    return image @ np.array([0.299, 0.587, 0.114], np.float32)


def _between(start: np.ndarray | np.float32, end: np.ndarray, factor: float) -> np.ndarray:
    return start + np.float32(factor) * (end - start)
