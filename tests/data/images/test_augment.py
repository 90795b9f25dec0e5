"""Augmentation of images: labels follow pixels, padding is ignored, scales follow the published rules."""

import numpy as np
import pytest

from pcseg.data.images.augment import Augmentation, change_colors, pad, resize, scaled_size
from pcseg.data.images.batch import Normalize
from pcseg.errors import UserError

FILL = (10.0, 20.0, 30.0)


def picture(height: int = 30, width: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Return labels in blocks, and colors of ten times the label."""
    label = np.add.outer(np.arange(height) // 8, np.arange(width) // 8).astype(np.int16)
    return np.repeat((10 * label).astype(np.uint8)[..., None], 3, axis=2), label


@pytest.mark.parametrize("seed", range(8))
def test_labels_follow_the_pixels(seed: int) -> None:
    augment = Augmentation(crop_size=(24, 32), scales=(0.4, 2.0))
    image, label = augment(*picture(), FILL, np.random.default_rng(seed))
    assert image.shape == (24, 32, 3)
    assert label.shape == (24, 32)
    inside = label >= 0
    # interpolation mixes neighbors at the edges of blocks only
    assert np.mean(np.abs(image[inside, 0] - 10.0 * label[inside]) < 2) > 0.6
    assert np.all(np.abs(image[inside, 0] - 10.0 * label[inside]) <= 11)
    assert np.all(image[~inside] == FILL)


def test_same_random_numbers_give_the_same_sample() -> None:
    augment = Augmentation(crop_size=(24, 32), color_jitter=0.4, hue_jitter=18)
    one, two, other = (augment(*picture(), FILL, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])
    assert not np.array_equal(one[0], other[0])


def sizes(augment: Augmentation, height: int, width: int) -> set[tuple[int, int]]:
    rng = np.random.default_rng(0)
    return {augment._new_size(height, width, rng) for _ in range(400)}


def test_scales_of_the_three_systems() -> None:
    # CTNet: {0.5, 0.75 ... 2.0} of the image's own size
    steps = sizes(Augmentation(crop_size=(8, 8), scales=(0.5, 2.0), scale_step=0.25), 100, 200)
    assert steps == {(round(25 * k), round(50 * k)) for k in range(2, 9)}
    # CCNet: 0.7 + {0 .. 14} / 10
    steps = sizes(Augmentation(crop_size=(8, 8), scales=(0.7, 2.1), scale_step=0.1), 1000, 2000)
    assert steps == {(700 + 100 * k, 1400 + 200 * k) for k in range(15)}
    # EncNet: the longer edge anywhere in 0.5 .. 2 times base_size
    steps = sizes(Augmentation(crop_size=(8, 8), base_size=520), 300, 600)
    assert min(width for _, width in steps) < 280
    assert max(width for _, width in steps) > 1020
    assert all(abs(2 * height - width) <= 1 for height, width in steps)
    # CCNet on ADE20K: lengths of the shorter edge
    steps = sizes(Augmentation(crop_size=(8, 8), short_sides=(300, 375, 450)), 500, 1000)
    assert steps == {(300, 600), (375, 750), (450, 900)}


def test_sizes_and_padding() -> None:
    assert scaled_size(240, 320, 0.5) == (120, 160)
    assert scaled_size(240, 320, 1.5, base_size=640) == (720, 960)
    image, label = picture(10, 12)
    wide, wide_label = pad(image, label, (16, 12), FILL)
    assert wide.shape == (16, 12, 3)
    assert np.all(wide[10:] == FILL)
    assert np.all(wide_label[10:] == -1)
    assert np.array_equal(wide[:10], image)
    same = pad(image, label, (10, 12), FILL)
    assert same[0] is image


def test_resized_labels_keep_their_values() -> None:
    image, label = picture()
    label[3:9] = -1
    _, small = resize(image, label, (15, 20))
    assert small.dtype == np.int16
    assert set(np.unique(small)) <= set(np.unique(label))
    assert (small == -1).any()


def test_colors_change_with_probability_one_half() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    changed = [change_colors(image, 0.4, 18, np.random.default_rng(seed)) for seed in range(40)]
    assert all(each.dtype == np.uint8 for each in changed)
    untouched = sum(np.array_equal(each, image) for each in changed)
    assert 0 < untouched < 12, "one in sixteen"


def test_channels_and_scaling_of_the_published_systems() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[..., 0], image[..., 2] = 200, 50  # red and blue
    imagenet = Normalize(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))(image)
    np.testing.assert_allclose(imagenet[0], (200 / 255 - 0.485) / 0.229, rtol=1e-4)
    ccnet = Normalize(mean=(104.0, 116.7, 122.7), std=(1, 1, 1), bgr=True)(image)
    np.testing.assert_allclose(ccnet[:, 0, 0], [50 - 104.0, -116.7, 200 - 122.7], rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Augmentation(crop_size=(8, 8), scales=(2.0, 0.5)),
            r"data\.scales: \(2\.0, 0\.5\) is out of range",
        ),
        (lambda: Augmentation(crop_size=(8, 8), hue_jitter=181), r"data\.hue_jitter: 181 is out of range"),
        (lambda: Normalize(mean=(0.485, 0.456, 0.406), std=(0.2, 0.2, 0.2)), r"for colors in 0\.\.255"),
        (lambda: Normalize(mean=(1.0, 2.0), std=(1, 1, 1)), r"data\.mean has 2 numbers"),
        (lambda: Normalize(mean=(5, 5, 5), std=(0, 1, 1)), r"data\.std: \[0, 1, 1\] is out of range"),
    ],
)
def test_values_out_of_range_are_refused(make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
