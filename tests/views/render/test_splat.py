"""The renderer: directions, occlusion, exact colors, closed holes."""

import numpy as np
import pytest

from pcseg.views.layers.coloring import Layer
from pcseg.views.render.pictures import render
from pcseg.views.render.splat import (
    MAX_REACH,
    Camera,
    cell_code,
    eye_dome_light,
    fill_holes,
    patch_size,
    splat,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def camera(**options: object) -> Camera:
    """Return a camera at eye height that looks along +y."""
    settings = {"eye": np.array([0, 0, 1.6]), "target": np.array([0, 5, 1.6]), "width": 64, "height": 48}
    return Camera(**(settings | options))  # type: ignore[arg-type]


def test_left_is_left_and_up_is_up() -> None:
    """Looking along +y with z up, -x is on the viewer's left."""
    pos = np.array([[-1, 5, 1.6], [1, 5, 1.6], [0, 5, 2.6], [0, 5, 0.6]], dtype=np.float32)
    row, depth = splat(pos, np.full(4, 0.01, np.float32), camera())
    y, x = np.nonzero(row >= 0)
    place = {int(row[a, b]): (b, a) for a, b in zip(y, x)}
    assert place[0][0] < 32 < place[1][0]
    assert place[2][1] < 24 < place[3][1]
    assert place[0][1] == place[1][1] == 24
    assert place[2][0] == place[3][0] == 32
    np.testing.assert_allclose(depth[y, x], 5)


def test_focal_length() -> None:
    """A point at the edge of the field of view is at the edge of the picture."""
    view = camera(fov=90)
    u, v, depth = view.project(np.array([[4.9, 5.0, 1.6], [-5.0, 5.0, 1.6]]))
    np.testing.assert_allclose(u, [32 + 0.98 * 32, 0], atol=1e-9)
    np.testing.assert_allclose(v, 24)
    np.testing.assert_allclose(depth, 5)


def test_nearest_wins_and_nothing_behind_is_seen() -> None:
    pos = np.array([[0, 5, 1.6], [0, 3, 1.6], [0, -3, 1.6], [0, 0.01, 1.6]], dtype=np.float32)
    row, depth = splat(pos, np.full(4, 0.01, np.float32), camera())
    assert np.unique(row).tolist() == [-1, 1]
    assert depth[24, 32] == pytest.approx(3)


def test_patches_shrink_with_depth_and_end_at_the_border() -> None:
    size = np.full(1, 0.5, np.float32)
    areas = [
        (splat(np.array([[0, y, 1.6]], np.float32), size, camera())[0] >= 0).sum() for y in (2, 4, 8, 40)
    ]
    assert areas == sorted(areas, reverse=True)
    assert areas[-1] == 1
    corner, _ = splat(np.array([[-2.85, 5, 1.6]], np.float32), size, camera())
    y, x = np.nonzero(corner >= 0)
    assert x.max() < MAX_REACH  # nothing wraps around to the other side
    assert len(np.unique(y)) > 2


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    pos = np.random.default_rng(0).uniform((-2, 1, 0), (2, 6, 3), (500, 3)).astype(np.float32)
    size = np.full(500, 0.1, np.float32)
    whole, _ = splat(pos, size, camera())
    monkeypatch.setattr("pcseg.views.render.splat.CHUNK", 7)
    np.testing.assert_array_equal(splat(pos, size, camera())[0], whole)


def test_colors_are_exact_without_shading() -> None:
    x, z = np.meshgrid(np.arange(-3, 3, 0.04) + 0.01, np.arange(0, 3.2, 0.04))
    pos = np.stack([x.ravel(), np.full(x.size, 4), z.ravel()], axis=1).astype(np.float32)
    color = np.where(pos[:, :1] < 0, RED, BLUE).astype(np.uint8)
    layer = Layer(by="rgb", title="", rgb=color)
    image = np.asarray(render(pos, [layer], camera())[0])
    seen = {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}
    assert seen <= {RED, BLUE, WHITE}
    assert (image[20:40, 2:30] == RED).all()
    assert (image[20:40, 34:62] == BLUE).all()
    (light,) = render(pos, [layer], camera(), shade=True)
    np.testing.assert_array_equal(light, image)  # a wall seen from the front has no edges
    (half,) = render(pos, [layer], camera(), rows=np.flatnonzero(pos[:, 0] < 0))
    assert {tuple(pixel) for pixel in np.asarray(half).reshape(-1, 3).tolist()} <= {RED, WHITE}


def test_shading_darkens_pixels_behind_an_edge() -> None:
    depth = np.full((9, 9), 4, np.float32)
    depth[:, :4] = 2
    depth[0] = np.inf
    light = eye_dome_light(depth)
    assert (light[2:, 5] < 0.75).all()
    assert (light[:, :4] == 1).all()
    assert (light[2:, 7:] == 1).all()


def test_small_holes_close_and_large_ones_stay() -> None:
    row, depth = np.arange(100).reshape(10, 10).astype(np.int64), np.full((10, 10), 3.0, np.float32)
    row[2, 2], depth[2, 2] = -1, np.inf
    row[5:9, 5:9], depth[5:9, 5:9] = -1, np.inf
    depth[1, 2] = 2
    filled, far = fill_holes(row, depth)
    assert filled[2, 2] == row[1, 2]
    assert far[2, 2] == 2
    assert (filled[6:8, 6:8] == -1).all()


def test_patch_size_follows_the_density() -> None:
    rng = np.random.default_rng(0)
    dense = np.concatenate([rng.uniform(0, 1, (10_000, 2)), np.zeros((10_000, 1))], axis=1)
    sparse = np.concatenate([rng.uniform(0, 2, (400, 2)) + 5, np.ones((400, 1))], axis=1)
    size = patch_size(np.concatenate([dense, sparse]).astype(np.float32))
    assert 0.01 < np.median(size[:10_000]) < 0.025  # one point per square centimeter
    assert np.median(size[10_000:]) > 0.05


def test_an_outlier_does_not_change_patches() -> None:
    pos = np.random.default_rng(0).uniform(0, 3, (5000, 3)).astype(np.float32)
    for outlier in (-5000, 5000):
        moved = np.concatenate([pos, np.full((1, 3), outlier, np.float32)])
        np.testing.assert_allclose(np.median(patch_size(moved)), np.median(patch_size(pos)), rtol=0.05)


def test_cell_codes_nest() -> None:
    """Points with the same code, less three bits per level, lie in one cell of that level."""
    pos = np.random.default_rng(0).uniform(-2, 2, (3000, 3)).astype(np.float32)
    code = cell_code(pos).numpy() >> 9  # cells of 8 cm
    for cell in np.unique(code)[:50]:
        assert np.ptp(pos[code == cell], axis=0).max() <= 0.08 + 1e-5
