"""Picking: the first surface along a ray, and what is shown of a point."""

from dataclasses import replace

import numpy as np
from helpers.view_rooms import EXPLAINED as ROOM

from pcseg.labels import S3DIS
from pcseg.views.interactive.picking import describe, point_on_ray
from pcseg.views.layers.coloring import Coloring
from pcseg.views.layers.head_layers import make_layers
from pcseg.views.layers.head_maps import largest


def test_a_ray_picks_the_first_surface() -> None:
    wall = np.stack(np.meshgrid(np.arange(0, 2, 0.02), [3.0], np.arange(0, 2, 0.02)), -1).reshape(-1, 3)
    pos = np.concatenate([wall, wall + np.array([0, 2, 0]), [[1, -1, 1]]]).astype(np.float32)
    found = point_on_ray(pos, np.array([1.0, 0, 1]), np.array([0.0, 3, 0.3]))
    assert found is not None
    np.testing.assert_allclose(pos[found], (1, 3, 1.3), atol=0.015)
    assert point_on_ray(pos, np.array([1.0, 0, 1]), np.array([1.0, 0, 0])) is None


def test_description_of_a_point() -> None:
    assert ROOM.maps is not None
    text = dict(describe(ROOM, 0))
    affinity = ROOM.maps.affinity[ROOM.maps.point_token[0]]
    assert text["affinity"].startswith(f"{S3DIS.names[affinity.argmax()]} {affinity.max():.2f}")
    assert text["true label"] == S3DIS.names[ROOM.label[0]]
    assert "probabilities of the baseline" in text
    for shares, layer in zip(ROOM.maps.slabs, make_layers(ROOM, Coloring(by="slabs")), strict=True):
        slab = int(shares.slab[ROOM.maps.point_token[0]])
        assert text[f"slab along {shares.name}"] == layer.names[slab]
    assert "probabilities" not in dict(describe(ROOM, len(ROOM) - 1))
    share = dict.fromkeys(S3DIS.names, 0.0)  # of the attention, by the class of the tokens
    attended = ROOM.maps.attend(int(ROOM.maps.point_token[0]))[-1].weight
    for weight, probability in zip(attended, ROOM.maps.probability, strict=True):
        share[S3DIS.names[probability.argmax()]] += weight
    best = max(share, key=lambda name: share[name])
    assert text["attends to"].startswith(f"{best} {share[best]:.2f}")


def test_values_that_round_to_zero_are_left_out() -> None:
    assert largest(np.array([0.004, 0.7, 0.006]), "abc", 3) == "b 0.70, c 0.01"
    assert largest(np.array([0.001, 0.004]), "ab", 2) == "b 0.00"


def test_pixels_are_described_by_row_and_column() -> None:
    image = replace(ROOM, pixels=(40, 100), maps=None)
    assert dict(describe(image, 207))["pixel"] == "column 7, row 2"
