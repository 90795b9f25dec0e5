"""Class probabilities of whole images: windows that slide, several scales and the mirror image, averaged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.checkpoint import LoadedModel
from pcseg.data.images.augment import resize_colors, scaled_size
from pcseg.data.images.batch import ImageBatch, Normalize
from pcseg.data.images.image_data import IMAGENET_MEAN, IMAGENET_STD
from pcseg.data.images.readers import READERS
from pcseg.errors import UserError

Run = Callable[[Tensor], Tensor]
"""Takes images ``(B, 3, H, W)`` and returns probabilities ``(B, K, H, W)``."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How an image is shown to a model.

    Args:
        crop_size: Height and width of a window, those of training.
        scales: Factors on the size of the image.
        flip: Show the mirror image too.
        base_size: Length of the longer edge at factor 1; the image's own without a value.
        overlap: Share of a window that the next one shows again.
        batch_size: Windows in a pass.

    Raises:
        UserError: A number out of range.
    """

    crop_size: tuple[int, int]
    scales: Sequence[float] = (1.0,)
    flip: bool = False
    base_size: int | None = None
    overlap: float = 1 / 3
    batch_size: int = 4

    def __post_init__(self) -> None:
        require_factors(self.scales)
        if not 0 <= self.overlap < 1 or self.batch_size < 1:
            raise UserError(
                f"--overlap {self.overlap}: choose a share in [0, 1); --batch_size must be 1 or more"
            )


def require_factors(scales: Sequence[float]) -> None:
    """:class:`UserError` unless ``scales`` are factors on the size of an image."""
    if not scales or min(scales) <= 0:
        raise UserError(f"--scales {list(scales)}: give one or more factors above 0")


@dataclass(frozen=True)
class ImageModel:
    """A trained image model with what its configuration says about its images."""

    loaded: LoadedModel
    normalize: Normalize
    crop_size: tuple[int, int]
    base_size: int | None

    def windows(
        self,
        *,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        overlap: float = 1 / 3,
        batch_size: int = 4,
    ) -> Windows:
        """Windows of the size that the model was trained with."""
        return Windows(
            crop_size=self.crop_size,
            scales=scales,
            flip=flip,
            base_size=self.base_size,
            overlap=overlap,
            batch_size=batch_size,
        )

    def probabilities(self, image: np.ndarray, windows: Windows, *, name: str) -> Tensor:
        """:func:`image_probabilities` of this model; :class:`UserError` names the image if they are NaN."""
        found = image_probabilities(self.loaded.network, image, normalize=self.normalize, windows=windows)
        if found.isnan().any():
            raise UserError(
                f"{name}: the model returns NaN; {self.loaded.path} is damaged or its training diverged"
            )
        return found


def is_image_model(model: LoadedModel) -> bool:
    """Whether a checkpoint was trained on images."""
    return model.kind == "images"


def image_model(loaded: LoadedModel) -> ImageModel:
    """An image model from a loaded checkpoint; :class:`UserError` if it was trained on points."""
    if not is_image_model(loaded):
        raise UserError(f"{loaded.path}: was not trained on images; give the checkpoint of an image model")
    args = loaded.config["data"].get("init_args", {})
    normalize = Normalize(
        mean=args.get("mean", IMAGENET_MEAN), std=args.get("std", IMAGENET_STD), bgr=args.get("bgr", False)
    )
    height, width = args.get("crop_size", (480, 480))
    reader = READERS.get(args.get("dataset"))
    base_size = args.get("base_size") or (reader.base_size if reader else None)
    return ImageModel(loaded, normalize, (height, width), base_size)


def image_probabilities(
    model: nn.Module, image: np.ndarray, *, normalize: Normalize, windows: Windows
) -> Tensor:
    """Mean class probabilities ``(K, H, W)`` of an image ``(H, W, 3)`` uint8, on the CPU.

    Args:
        model: Its ``forward(batch)`` returns an object with ``logits`` (B*H*W, K); runs where its parameters are.
        image: Red, green, blue in 0..255.
        normalize: How the model wants its numbers.
        windows: Scales, mirror image and size of the windows.

    Convention:
        Every scale is made from the image itself, not from the scale before. A window always has the size of
        training, so that sums over an image (EncNet's encoding) stay what they were; where the image ends it is
        padded with the mean colour, and what is predicted there is dropped. Softmax comes first, then the mean
        over windows, then over scales and mirror images (along the width). The published codes average logits
        (CCNet, CTNet) or their exponentials (EncNet), mirror the height (CCNet) or resample what was resampled
        (CTNet).
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))

    def run(batch: Tensor) -> Tensor:
        count, _, height, width = batch.shape
        labels = torch.full((count, height, width), -1, device=device)
        output = model(ImageBatch(image=batch.to(device), labels=labels, names=[""] * count))
        scores = output.logits.float().softmax(1)
        return scores.view(count, height, width, -1).permute(0, 3, 1, 2)

    height, width = image.shape[:2]
    total: Tensor | None = None
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for factor in windows.scales:
                size = scaled_size(height, width, factor, base_size=windows.base_size)
                scaled = normalize(resize_colors(image, size))
                for mirrored in (False, True) if windows.flip else (False,):
                    scores = slide(run, scaled.flip(2) if mirrored else scaled, windows)
                    scores = scores.flip(2) if mirrored else scores
                    scores = _resized(scores, (height, width))
                    total = scores if total is None else total.add_(scores)
            assert total is not None, "no scales"
            return total.div_(total.sum(0))  # with many classes it is large: no second one
    finally:
        model.train(was_training)


def slide(run: Run, image: Tensor, windows: Windows) -> Tensor:
    """Mean probabilities ``(K, H, W)`` over the windows of a normalised image ``(3, H, W)``."""
    height, width = image.shape[1:]
    rows, columns = windows.crop_size
    padded = F.pad(image, (0, max(columns - width, 0), 0, max(rows - height, 0)))
    corners = [
        (top, left)
        for top in window_starts(padded.shape[1], rows, windows.overlap)
        for left in window_starts(padded.shape[2], columns, windows.overlap)
    ]
    total: Tensor | None = None
    count = torch.zeros(padded.shape[1:])
    for places, scores in _run_windows(run, padded, corners, windows):
        for (top, left), score in zip(places, scores):
            if total is None:
                total = torch.zeros(len(score), *padded.shape[1:])
            total[:, top : top + rows, left : left + columns] += score
            count[top : top + rows, left : left + columns] += 1
    assert total is not None
    return total.div_(count)[:, :height, :width]


def _run_windows(
    run: Run, image: Tensor, corners: Sequence[tuple[int, int]], windows: Windows
) -> Iterator[tuple[Sequence[tuple[int, int]], Tensor]]:
    """Corners and probabilities of the windows, a pass at a time."""
    rows, columns = windows.crop_size
    for first in range(0, len(corners), windows.batch_size):
        places = corners[first : first + windows.batch_size]
        crops = [image[:, top : top + rows, left : left + columns] for top, left in places]
        yield places, run(torch.stack(crops)).cpu()


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """First pixels of windows that cover ``length``, the last one flush with its end, evenly spread."""
    if length <= window:
        return [0]
    stride = max(int(window * (1 - overlap)), 1)
    number = -(-(length - window) // stride) + 1
    return [round(step * (length - window) / (number - 1)) for step in range(number)]


def _resized(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Probabilities ``(K, h, w)`` at ``size``; pixels are areas here, as when the image was resized."""
    if tuple(scores.shape[1:]) == size:
        return scores
    return F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]
