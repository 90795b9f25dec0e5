"""Sliding windows, scales and mirror images, compared with known results."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pcseg.data.images.batch import ImageBatch, Normalize
from pcseg.errors import UserError
from pcseg.heads.base import HeadOutput
from pcseg.inference.images import ImageModel, ImageOptions, image_model, window_starts

IDENTITY = Normalize(mean=(0, 0, 0), std=(1, 1, 1))


class Fake(nn.Module):
    """Compute logits by a function of images ``(B, 3, H, W)`` and record its inputs."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function, self.inputs = function, []

    def forward(self, batch: ImageBatch) -> HeadOutput:
        self.inputs.append(batch.image)
        return HeadOutput(logits=self.function(batch.image).permute(0, 2, 3, 1).flatten(0, 2))


def by_color(image: Tensor) -> Tensor:
    """Return log-probabilities in proportion to the colors of each pixel, independent of windows."""
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


def probabilities(
    network: nn.Module, image: np.ndarray, *, options: ImageOptions | None = None, **settings: Any
) -> Tensor:
    model = ImageModel(network=network, **{"normalize": IDENTITY, **settings})
    return model.probabilities(image, options or ImageOptions())


@pytest.mark.parametrize("size", [(20, 30), (50, 37), (7, 90), (24, 32)])
def test_windows_cover_every_pixel_once_in_the_mean(size: tuple[int, int]) -> None:
    image, model = picture(*size), Fake(by_color)
    options = ImageOptions(flip=True, batch_size=3)
    found = probabilities(model, image, crop_size=(24, 32), options=options)
    torch.testing.assert_close(found, expected(image))
    assert all(shown.shape[2:] == (24, 32) for shown in model.inputs), "every window has the size of training"


def test_padding_is_the_mean_color_and_is_dropped() -> None:
    model = Fake(lambda image: image)
    normalize = Normalize(mean=(50, 60, 70), std=(2, 2, 2))
    found = probabilities(model.eval(), picture(5, 6), normalize=normalize, crop_size=(8, 8))
    assert found.shape == (3, 5, 6)
    (shown,) = model.inputs
    assert (shown[..., 5:, :] == 0).all()
    assert (shown[..., :, 6:] == 0).all()


def test_flip_mirrors_along_the_width_and_back() -> None:
    """Use a model that predicts the first class in the left half of its input."""

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

    plain, both = (
        probabilities(
            Fake(left_or_right),
            picture(8, 8),
            crop_size=(8, 8),
            options=ImageOptions(flip=flip),
        )
        for flip in (False, True)
    )
    assert plain[0, 5, 0] > 0.99
    torch.testing.assert_close(both[:2, 4:], torch.full((2, 4, 8), 0.5))
    torch.testing.assert_close(both[2], plain[2], msg="top stays top")


def test_every_scale_is_resized_from_the_original_image() -> None:
    model, image = Fake(by_color), picture(40, 40)
    options = ImageOptions(scales=(0.25, 1.0))
    probabilities(model, image, crop_size=(40, 40), options=options)
    assert torch.equal(model.inputs[-1][0], IDENTITY(image)), (
        "scale 1 is the original image, not the resized small one"
    )


def test_scales_are_averaged_at_the_size_of_the_image() -> None:
    image = picture(40, 60, smooth=True)
    options = ImageOptions(scales=(0.5, 1.0, 1.5), flip=True)
    found = probabilities(Fake(by_color), image, crop_size=(24, 24), options=options)
    assert found.shape == (3, 40, 60)
    torch.testing.assert_close(found.sum(0), torch.ones(40, 60))
    inside = (slice(None), slice(3, -3), slice(3, -3))
    torch.testing.assert_close(found[inside], expected(image)[inside], rtol=0, atol=0.02)


def test_base_size_sets_the_longer_edge() -> None:
    model = Fake(lambda image: image)
    options = ImageOptions(scales=(1.0, 2.0))
    probabilities(
        model,
        picture(10, 16),
        normalize=Normalize(mean=(50,) * 3, std=(1,) * 3),
        crop_size=(64, 64),
        base_size=32,
        options=options,
    )
    widths = [int((shown[0] != 0).any(0).any(0).sum()) for shown in model.inputs]
    assert widths == [32, 64]


def test_large_color_images_of_scannet_are_resized_to_the_labels() -> None:
    arguments: dict[str, Any] = {"dataset": "scannet_frames", "crop_size": [48, 64]}
    card = SimpleNamespace(data=arguments)
    loaded: Any = SimpleNamespace(kind="images", network=None, path=None, card=card)
    assert image_model(loaded).base_size == 640
    arguments["base_size"] = 320
    assert image_model(loaded).base_size == 320
    arguments |= {"dataset": "ade20k", "base_size": None}
    assert image_model(loaded).base_size is None


@pytest.mark.parametrize("length", [1, 5, 8, 9, 12, 100])
def test_window_starts_cover_the_image(length: int) -> None:
    starts = window_starts(length, 8, 1 / 3)
    covered = {pixel for start in starts for pixel in range(start, start + 8)}
    assert covered >= set(range(length))
    assert starts[0] == 0
    assert starts[-1] == max(length - 8, 0)
    assert all(second - first <= 5 for first, second in zip(starts, starts[1:])), "windows overlap by a third"  # noqa: RUF007


@pytest.mark.parametrize("options", [{"scales": (0,)}, {"scales": ()}, {"overlap": 1}, {"batch_size": 0}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^--[a-z_]+: .*\. (Use|Leave) "):
        ImageOptions(**options)
