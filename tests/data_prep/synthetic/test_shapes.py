"""Meshes: closed where they should be, of the right size, with holes where asked for."""

import numpy as np
import pytest

from data_prep.synthetic.shapes import (
    Mesh,
    bent_sheet,
    box,
    cylinder,
    ellipse,
    join,
    lathe,
    panel,
    pillow,
    prism,
    rounded,
    tube,
)


def area(mesh: Mesh) -> float:
    a, b, c = mesh.vertices[mesh.triangles].transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def extent(mesh: Mesh) -> np.ndarray:
    return mesh.vertices.max(axis=0) - mesh.vertices.min(axis=0)


def test_a_box_has_its_size_and_surface() -> None:
    mesh = box((1, 2, 3), (5, 6, 7))
    np.testing.assert_allclose(mesh.vertices.min(axis=0), [4.5, 5, 7])
    np.testing.assert_allclose(extent(mesh), [1, 2, 3])
    assert area(mesh) == pytest.approx(2 * (2 + 3 + 6))


def test_every_edge_of_a_box_and_a_prism_joins_two_triangles() -> None:
    for mesh in (box((1, 1, 1)), prism(ellipse(2, 1), 0.5), prism(rounded(2, 1, 0.2), 0.5)):
        edges = np.sort(mesh.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_round_solids_come_near_their_formula() -> None:
    assert area(cylinder(0.5, 2, steps=200)) == pytest.approx(
        2 * np.pi * 0.5 * 2 + 2 * np.pi * 0.25, rel=1e-3
    )
    assert area(pillow((1, 1, 1), power=1.0, steps=200)) == pytest.approx(np.pi, rel=1e-3)
    assert area(lathe([(0, 0), (1, 1)], steps=200)) == pytest.approx(np.pi * np.sqrt(2), rel=1e-3)
    straight = tube(np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2]]), 0.1, 200)
    assert area(straight) == pytest.approx(2 * np.pi * 0.1 * 2, rel=1e-3)


def test_extents_of_soft_shapes() -> None:
    np.testing.assert_allclose(extent(pillow((0.5, 0.4, 0.1))), [0.5, 0.4, 0.1], atol=0.02)
    np.testing.assert_allclose(np.ptp(rounded(2, 1, 0.3), axis=0), [2, 1])
    sheet = bent_sheet(np.array([[0, 0], [0, 0.5], [0, 1]]), 0.4, 0.02)
    np.testing.assert_allclose(extent(sheet), [0.4, 0.02, 1], atol=1e-9)


def test_a_panel_lacks_its_holes() -> None:
    holes = [(1, 2, 0, 2.1), (2.5, 3.5, 0.9, 2)]
    mesh = panel(5, 3, holes)
    assert area(mesh) == pytest.approx(15 - 2.1 - 1.1)
    middle = mesh.vertices[mesh.triangles].mean(axis=1)[:, [0, 2]]
    for a, b, c, d in holes:
        assert not ((middle > [a, c]) & (middle < [b, d])).all(axis=1).any()


def test_turning_and_joining() -> None:
    mesh = box((1, 2, 3)).turned(np.pi / 2)
    np.testing.assert_allclose(extent(mesh), [2, 1, 3])
    np.testing.assert_allclose(
        box((1, 1, 1), (2, 0, 0)).turned(np.pi / 2).vertices.mean(axis=0), [0, 2, 0.5], atol=1e-9
    )
    both = join([mesh, mesh.moved((9, 0, 0))])
    assert area(both) == pytest.approx(2 * area(mesh))
    assert extent(both)[0] == pytest.approx(11)
