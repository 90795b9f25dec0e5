"""Normals of planes and spheres are known."""

import numpy as np

from pcseg.data.normals import estimate_normals

RNG = np.random.default_rng(0)


def test_room_faces_inwards() -> None:
    sides = RNG.integers(0, 6, 12_000)
    axis, far = sides % 3, sides // 3
    pos = RNG.uniform(0, 1, (12_000, 3))
    pos[np.arange(12_000), axis] = far
    pos = pos * [4, 5, 3] + [100, -30, 2]
    expected = np.zeros_like(pos)
    expected[np.arange(12_000), axis] = 1 - 2 * far
    normal = estimate_normals(pos.astype(np.float32), chunk=5000)
    assert normal.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, rtol=1e-5)
    size, corner = np.array([4, 5, 3]), np.array([100, -30, 2])
    away_from_edges = (np.minimum(pos - corner, corner + size - pos) > 0.5).sum(axis=1) == 2
    assert away_from_edges.sum() > 5000
    np.testing.assert_allclose(normal[away_from_edges], expected[away_from_edges], atol=1e-3)


def test_sphere() -> None:
    pos = RNG.normal(size=(5000, 3))
    pos /= np.linalg.norm(pos, axis=1, keepdims=True)
    assert np.einsum("ni,ni->n", estimate_normals(pos), -pos).mean() > 0.99


def test_chunks_do_not_matter() -> None:
    pos = RNG.normal(size=(500, 3))
    np.testing.assert_array_equal(estimate_normals(pos, chunk=37), estimate_normals(pos))


def test_points_without_a_plane_have_unit_normals() -> None:
    line = np.arange(30)[:, None] * np.array([1.0, 0, 0])
    for pos in (np.zeros((1, 3)), np.zeros((40, 3)), line, np.eye(3)):
        np.testing.assert_allclose(np.linalg.norm(estimate_normals(pos), axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(estimate_normals(line)[:, 0], 0, atol=1e-6)
