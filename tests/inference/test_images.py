"""Sliding windows, scales and mirror images: exact where the answer is known."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pcseg.data.images.batch import ImageBatch, Normalize
from pcseg.errors import UserError
from pcseg.heads.base import HeadOutput
from pcseg.inference.images import Windows, image_model, image_probabilities, window_starts

IDENTITY = Normalize(mean=(0, 0, 0), std=(1, 1, 1))


class Fake(nn.Module):
    """Answers with a function of images ``(B, 3, H, W)`` and notes what it was shown."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function, self.shown = function, []

    def forward(self, batch: ImageBatch) -> HeadOutput:
        self.shown.append(batch.image)
        return HeadOutput(logits=self.function(batch.image).permute(0, 2, 3, 1).flatten(0, 2))


def by_color(image: Tensor) -> Tensor:
    """Log-probabilities in the proportions of the colours of each pixel: windows do not matter."""
    return (image + 1).log()


def picture(height: int, width: int, *, smooth: bool = False) -> np.ndarray:
    rng = np.random.default_rng(0)
    if not smooth:
        return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x, 3 * y, 100 + x - y], axis=-1).clip(0, 255).astype(np.uint8)


def expected(image: np.ndarray) -> Tensor:
    colors = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1) + 1
    return colors / colors.sum(0)


@pytest.mark.parametrize("size", [(20, 30), (50, 37), (7, 90), (24, 32)])
def test_windows_cover_every_pixel_once_in_the_mean(size: tuple[int, int]) -> None:
    image, model = picture(*size), Fake(by_color)
    windows = Windows(crop_size=(24, 32), flip=True, batch_size=3)
    found = image_probabilities(model, image, normalize=IDENTITY, windows=windows)
    torch.testing.assert_close(found, expected(image))
    assert all(shown.shape[2:] == (24, 32) for shown in model.shown), "every window has the size of training"


def test_padding_is_the_mean_colour_and_is_dropped() -> None:
    model = Fake(by_color)
    normalize = Normalize(mean=(50, 60, 70), std=(2, 2, 2))
    found = image_probabilities(
        model.eval(), picture(5, 6), normalize=normalize, windows=Windows(crop_size=(8, 8))
    )
    assert found.shape == (3, 5, 6)
    (shown,) = model.shown
    assert (shown[..., 5:, :] == 0).all()
    assert (shown[..., :, 6:] == 0).all()


def test_the_mirror_image_is_mirrored_along_the_width_and_back() -> None:
    """A model that knows left from right: the first class in the left half of what it is shown."""

    def left_or_right(image: Tensor) -> Tensor:
        left = torch.arange(image.shape[3]) < image.shape[3] // 2
        top = torch.arange(image.shape[2]) < 2
        scores = torch.stack(
            [
                left.expand(image.shape[2:]),
                ~left.expand(image.shape[2:]),
                top[:, None].expand(image.shape[2:]),
            ]
        )
        return 20 * scores.float().expand(len(image), -1, -1, -1)

    windows = {flip: Windows(crop_size=(8, 8), flip=flip) for flip in (False, True)}
    plain, both = (
        image_probabilities(Fake(left_or_right), picture(8, 8), normalize=IDENTITY, windows=windows[flip])
        for flip in (False, True)
    )
    assert plain[0, 5, 0] > 0.99
    torch.testing.assert_close(both[:2, 4:], torch.full((2, 4, 8), 0.5))
    torch.testing.assert_close(both[2], plain[2], msg="top stays top")


def test_every_scale_comes_from_the_image_itself() -> None:
    model, image = Fake(by_color), picture(40, 40)
    scales = (0.25, 1.0)
    image_probabilities(model, image, normalize=IDENTITY, windows=Windows(crop_size=(40, 40), scales=scales))
    assert torch.equal(model.shown[-1][0], IDENTITY(image)), (
        "scale 1 is the image, not the small one enlarged"
    )


def test_scales_are_averaged_at_the_size_of_the_image() -> None:
    image = picture(40, 60, smooth=True)
    windows = Windows(crop_size=(24, 24), scales=(0.5, 1.0, 1.5), flip=True)
    found = image_probabilities(Fake(by_color), image, normalize=IDENTITY, windows=windows)
    assert found.shape == (3, 40, 60)
    torch.testing.assert_close(found.sum(0), torch.ones(40, 60))
    inside = (slice(None), slice(3, -3), slice(3, -3))
    torch.testing.assert_close(found[inside], expected(image)[inside], rtol=0, atol=0.02)


def test_base_size_sets_the_longer_edge() -> None:
    model = Fake(by_color)
    windows = Windows(crop_size=(64, 64), base_size=32, scales=(1.0, 2.0))
    image_probabilities(
        model, picture(10, 16), normalize=Normalize(mean=(50,) * 3, std=(1,) * 3), windows=windows
    )
    widths = [int((shown[0] != 0).any(0).any(0).sum()) for shown in model.shown]
    assert widths == [32, 64]


def test_large_colours_of_scannet_are_seen_at_the_size_of_the_labels() -> None:
    arguments: dict[str, Any] = {"dataset": "scannet_frames", "crop_size": [48, 64]}
    loaded: Any = SimpleNamespace(kind="images", config={"data": {"init_args": arguments}})
    assert image_model(loaded).windows().base_size == 640
    arguments["base_size"] = 320
    assert image_model(loaded).windows().base_size == 320
    arguments |= {"dataset": "ade20k", "base_size": None}
    assert image_model(loaded).windows().base_size is None


@pytest.mark.parametrize("length", [1, 5, 8, 9, 12, 100])
def test_starts_of_windows(length: int) -> None:
    starts = window_starts(length, 8, 1 / 3)
    covered = {pixel for start in starts for pixel in range(start, start + 8)}
    assert covered >= set(range(length))
    assert starts[0] == 0
    assert starts[-1] == max(length - 8, 0)
    assert all(second - first <= 5 for first, second in zip(starts, starts[1:])), "a third is shown again"  # noqa: RUF007


def test_wrong_options_are_told() -> None:
    with pytest.raises(UserError, match=r"--scales \[0\]"):
        Windows(crop_size=(8, 8), scales=(0,))
    with pytest.raises(UserError, match=r"--overlap 1"):
        Windows(crop_size=(8, 8), overlap=1)
