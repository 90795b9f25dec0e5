"""Predict whole images: sliding windows, several scales and mirror images, averaged."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.checkpoint import LoadedModel
from pcseg.data.images.augment import resize_colors, scaled_size
from pcseg.data.images.batch import IMAGENET_MEAN, IMAGENET_STD, ImageBatch, Normalize
from pcseg.data.images.readers import IMAGE_READERS
from pcseg.errors import UserError
from pcseg.inference.device import Precision, device_of, evaluating
from pcseg.labels import IGNORE_INDEX
from pcseg.values import Few, Scales, Share, checked


@checked("--")
@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Scales, mirror image and windows with which an image is predicted.

    Args:
        scales: Scale factors of the image; probabilities are averaged over them.
        flip: Also average over the mirrored image.
        overlap: Fraction of a window that the next window overlaps.
        batch_size: Number of windows per forward pass.
        precision: Arithmetic of the model; scores are averaged in fp32.

    Raises:
        UserError: A number is out of range.
    """

    scales: Scales = (1.0,)
    flip: bool = False
    overlap: Share = 1 / 3
    batch_size: Few = 4
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True)
class ImageModel:
    """A trained network for images with the image settings of its training configuration.

    Args:
        network: Module whose ``forward(batch)`` returns an object with ``logits`` (B*H*W, K). It runs on the device of
            its parameters.
        normalize: Normalization of colors.
        crop_size: Height and width of a window, as in training.
        base_size: Length of the longer edge at scale 1; ``None`` keeps the size of the image.
        source: Name of the checkpoint in messages.
    """

    network: nn.Module
    normalize: Normalize
    crop_size: tuple[int, int]
    base_size: int | None = None
    source: str = "model"

    def probabilities(
        self, image: np.ndarray, options: ImageOptions = ImageOptions(), *, name: str = "image"
    ) -> Tensor:
        """Return the mean class probabilities ``(K, H, W)`` of an image ``(H, W, 3)`` uint8, on the CPU.

        Convention:
            Every scale is resized from the original image. A window always has the size of training, so that sums
            over an image (EncNet's encoding) keep their magnitude. Windows beyond the border are padded with the mean
            color and predictions there are dropped. Softmax comes first, then the mean over windows, then over scales
            and mirror images (along the width). The published code averages logits (CCNet, CTNet) or their
            exponentials (EncNet), mirrors along the height (CCNet) or resizes repeatedly (CTNet).

        Raises:
            UserError: The model returns NaN; ``name`` names the image.
        """
        height, width = image.shape[:2]
        total: Tensor | None = None
        with evaluating(self.network, options.precision):
            for factor in options.scales:
                size = scaled_size(height, width, factor, base_size=self.base_size)
                scaled = self.normalize(resize_colors(image, size))
                for mirrored in (False, True) if options.flip else (False,):
                    scores = slide(self._run, scaled.flip(2) if mirrored else scaled, self.crop_size, options)
                    scores = _resize(scores.flip(2) if mirrored else scores, (height, width))
                    total = scores if total is None else total.add_(scores)
            assert total is not None, "no scales"
            total.div_(total.sum(0))  # in place: with many classes it is large
        if total.isnan().any():
            raise UserError(
                f"{name}: the model {self.source} returns NaN. It is damaged or its training diverged: train again."
            )
        return total

    def _run(self, batch: Tensor) -> Tensor:
        """Return the probabilities ``(B, K, h, w)`` of windows ``(B, 3, h, w)``, on the CPU."""
        (count, _, height, width), device = batch.shape, device_of(self.network)
        labels = torch.full((count, height, width), IGNORE_INDEX, device=device)
        output = self.network(ImageBatch(image=batch.to(device), labels=labels, names=[""] * count))
        scores = output.logits.float().softmax(1)
        return scores.view(count, height, width, -1).permute(0, 3, 1, 2).cpu()


def image_model(loaded: LoadedModel) -> ImageModel:
    """Return a loaded model as an image model; raise :class:`UserError` for a point model."""
    if loaded.kind != "images":
        raise UserError(f"{loaded.path}: a point model. Choose the checkpoint of an image model.")
    args: dict[str, Any] = loaded.card.data
    height, width = args.get("crop_size", (480, 480))
    reader = IMAGE_READERS.get(args.get("dataset", ""))
    return ImageModel(
        network=loaded.network,
        normalize=Normalize(
            mean=args.get("mean", IMAGENET_MEAN),
            std=args.get("std", IMAGENET_STD),
            bgr=args.get("bgr", False),
        ),
        crop_size=(height, width),
        base_size=args.get("base_size") or (reader.base_size if reader else None),
        source=str(loaded.path),
    )


def slide(
    run: Callable[[Tensor], Tensor], image: Tensor, crop_size: tuple[int, int], options: ImageOptions
) -> Tensor:
    """Return the mean probabilities ``(K, H, W)`` over the windows of a normalized image ``(3, H, W)``.

    ``run`` returns the probabilities ``(B, K, h, w)`` of windows ``(B, 3, h, w)`` of ``crop_size`` (h, w), on the CPU.
    """
    height, width = image.shape[1:]
    rows, columns = crop_size
    padded = F.pad(image, (0, max(columns - width, 0), 0, max(rows - height, 0)))
    corners = [
        (top, left)
        for top in window_starts(padded.shape[1], rows, options.overlap)
        for left in window_starts(padded.shape[2], columns, options.overlap)
    ]
    total: Tensor | None = None
    count = torch.zeros(padded.shape[1:])
    for first in range(0, len(corners), options.batch_size):
        batch = corners[first : first + options.batch_size]
        crops = [padded[:, top : top + rows, left : left + columns] for top, left in batch]
        for (top, left), score in zip(batch, run(torch.stack(crops))):
            if total is None:
                total = torch.zeros(len(score), *padded.shape[1:])
            total[:, top : top + rows, left : left + columns] += score
            count[top : top + rows, left : left + columns] += 1
    assert total is not None
    return total.div_(count)[:, :height, :width]


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Return the first pixels of evenly spaced windows that cover ``length``; the last one ends at its end."""
    if length <= window:
        return [0]
    stride = max(int(window * (1 - overlap)), 1)
    number = -(-(length - window) // stride) + 1
    return [round(step * (length - window) / (number - 1)) for step in range(number)]


def _resize(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize probabilities ``(K, h, w)``; pixels are areas, as when the image was resized."""
    if tuple(scores.shape[1:]) == size:
        return scores
    return F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]
