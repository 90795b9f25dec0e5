"""Input features by name."""

import numpy as np
import pytest

from pcseg.data.features import ground_height, input_features, num_features
from pcseg.errors import UserError


def test_features_and_their_order() -> None:
    pos = np.array([[1, 2, 3], [5, 4, 8]], np.float32)
    color = np.array([[0, 255, 51], [255, 0, 0]], np.uint8)
    normal = np.array([[0, 0, 1], [1, 0, 0]], np.float32)
    names = ["normal", "height", "color", "pos"]
    x = input_features(names, pos=pos, color=color, normal=normal, ground=2.5)
    expected = [
        [0, 0, 1, 0.5, -0.5, 0.5, -0.3, -2, -1, 0.5],
        [1, 0, 0, 5.5, 0.5, -0.5, -0.5, 2, 1, 5.5],
    ]
    np.testing.assert_allclose(x, np.array(expected), atol=1e-6)
    assert x.dtype == np.float32
    assert x.shape[1] == num_features(names) == 10
    floats = input_features(names, pos=pos, color=color.astype(np.float32), normal=normal, ground=2.5)
    assert (floats == x).all()


def test_floor_and_ceiling() -> None:
    pos, color = np.zeros((3, 3), np.float32), np.zeros((3, 3), np.uint8)
    floor, ceiling = np.array([0.5, 2, -0.1], np.float32), np.array([2.1, np.nan, -0.05], np.float32)
    x = input_features(["ceiling", "floor"], pos=pos, color=color, ground=0.0, floor=floor, ceiling=ceiling)
    np.testing.assert_array_equal(x, np.float32([[2.1, 1, 0.5], [0, 0, 2], [-0.05, 1, -0.1]]))
    assert num_features(["ceiling", "floor"]) == 3


def test_pos_does_not_depend_on_the_position_of_the_crop() -> None:
    pos = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    color = np.zeros((50, 3), np.uint8)
    moved = pos + np.float32([16, -8, 4])
    here = input_features(["pos", "height"], pos=pos, color=color, ground=0.0)
    there = input_features(["pos", "height"], pos=moved, color=color, ground=4.0)
    np.testing.assert_allclose(here, there, atol=1e-5)


def test_ground_ignores_a_few_points_below_the_floor() -> None:
    pos = np.zeros((1000, 3), np.float32)
    pos[:9, 2] = -5
    pos[500:, 2] = 2
    assert ground_height(pos) == 0
    pos[:20, 2] = -5
    assert ground_height(pos) == -5
    assert ground_height(pos[:0]) == 0
    assert ground_height(pos[:1]) == -5


def test_empty_cloud() -> None:
    none = np.empty((0, 3), np.float32)
    assert input_features(["pos", "color"], pos=none, color=none, ground=0.0).shape == (0, 6)


def test_invalid_names_are_one_line() -> None:
    with pytest.raises(
        UserError, match=r"'rgb' is unknown\. Choose from color, height, floor, ceiling, normal, pos"
    ):
        num_features(["rgb"])
    with pytest.raises(UserError, match="repeats a name"):
        num_features(["color", "color"])
    with pytest.raises(UserError, match="is empty"):
        num_features([])
    none = np.empty((0, 3), np.float32)
    with pytest.raises(UserError, match=r"room\.ply: no normals"):
        input_features(["normal"], pos=none, color=none, ground=0.0, source="room.ply")
