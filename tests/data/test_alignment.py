"""Units and axes are detected, applied without reflection, and can be given."""

from pathlib import Path

import numpy as np
import pytest

from pcseg.data.alignment import ROTATIONS, Frame, find_frame
from pcseg.data.camera_view import level
from pcseg.data.io.clouds import read_cloud
from pcseg.data.normals import estimate_normals
from pcseg.data.surfaces import measure_surfaces
from pcseg.errors import UserError


def box(
    size: tuple[float, float, float], at: tuple[float, float, float], rng: np.random.Generator, density: float
) -> np.ndarray:
    """Points on the surface of a box."""
    points = rng.uniform(
        0, 1, (int(density * (size[0] * size[1] + size[1] * size[2] + size[2] * size[0])), 3)
    )
    areas = np.array([size[1] * size[2], size[2] * size[0], size[0] * size[1]])
    axis = rng.choice(3, size=len(points), p=areas / areas.sum())
    rows = np.arange(len(points))
    points[rows, axis] = np.round(points[rows, axis])
    return points * size + at


def room(seed: int = 0, *, density: float = 300) -> np.ndarray:
    """A room along the axes with tables and cupboards, z up, meters."""
    rng = np.random.default_rng(seed)
    parts = [box((6, 4.5, 2.8), (0, 0, 0), rng, density)]
    for _ in range(4):
        parts.append(box((1.4, 0.7, 0.74), (rng.uniform(0, 4), rng.uniform(0, 3), 0), rng, density))
    parts.append(box((1.2, 0.4, 1.9), (0, 1, 0), rng, density))
    return np.concatenate(parts) + rng.normal(0, 0.005, (sum(map(len, parts)), 3))


@pytest.mark.slow
@pytest.mark.parametrize("up", ["z", "y", "-y"])
@pytest.mark.parametrize(("unit", "scale"), [("m", 1), ("cm", 100), ("mm", 1000)])
def test_room_is_recognized(up: str, unit: str, scale: float) -> None:
    pos = room()
    rays = pos[:5] + np.random.default_rng(1).normal(0, 40, (5, 3))  # outliers
    file = np.concatenate([pos, rays, np.full((3, 3), np.nan)]) @ np.array(ROTATIONS[up]) * scale
    frame = find_frame(file)
    if (
        up == "-y" and frame.unsure
    ):  # the top of a closed room is not certain: the default stays, with a doubt
        assert (frame.unit, frame.up) == ("m", "z")
        assert all("not certain, pass --" in remark for remark in frame.remarks[:2])
        return
    assert (frame.unit, frame.up, frame.one_view) == (unit, up, False)
    np.testing.assert_allclose(frame.apply(file)[: len(pos)], pos, atol=1e-4)
    assert "units: " in frame.remarks[0]
    assert f"up: {up}" in frame.remarks[1]


@pytest.mark.slow
def test_one_view_is_leveled() -> None:
    """A camera at 1.5 m looks 30° down into the room."""
    angle = np.radians(30)
    forward, down = (
        np.array([np.cos(angle), 0, -np.sin(angle)]),
        np.array([-np.sin(angle), 0, -np.cos(angle)]),
    )
    axes = np.stack([np.cross(down, forward), down, forward])
    eye = np.array([0.3, 2.2, 1.5])
    seen = (room(density=10_000) - eye) @ axes.T
    seen = seen[(seen[:, 2] > 0.3) & (np.abs(seen[:, :2]) < 0.6 * seen[:, 2:]).all(axis=1)]
    # a camera sees the nearest surface in each direction
    _, pixel = np.unique(np.floor(seen[:, :2] / seen[:, 2:] / 0.03), axis=0, return_inverse=True)
    nearest = np.full(len(seen), np.inf)
    np.minimum.at(nearest, pixel, seen[:, 2])
    seen = seen[seen[:, 2] < 1.08 * nearest[pixel]]
    frame = find_frame(seen * 1000)
    assert (frame.unit, frame.up, frame.one_view) == ("mm", "-y", True)
    true_up = axes @ (0, 0, 1)
    np.testing.assert_allclose(frame.rotate(true_up[None])[0], [0, 0, 1], atol=0.03)
    assert "leveled by 30°" in frame.remarks[1]
    assert frame.sensor is not None
    np.testing.assert_allclose(frame.sensor, 0)


def test_given_units_and_axis_are_used() -> None:
    pos = room()
    frame = find_frame(pos, units="cm", up="x")
    np.testing.assert_allclose(frame.apply(pos), pos[:, [1, 2, 0]] / 100, atol=1e-6)
    assert frame.remarks == ("units: centimeters (as given)", "up: x (as given)")


@pytest.mark.parametrize("up", ROTATIONS)
def test_rotations_do_not_reflect(up: str) -> None:
    rotation = np.array(ROTATIONS[up], dtype=float)
    axis = np.eye(3)["xyz".index(up[-1])] * (-1 if up[0] == "-" else 1)
    np.testing.assert_array_equal(rotation @ axis, [0, 0, 1])
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_far_coordinates_are_moved_to_the_origin() -> None:
    pos = room()
    far = pos + np.array([400_000.0, 5_500_000.0, 200.0])
    near = find_frame(far).apply(far)
    assert np.abs(near).max() < 20
    np.testing.assert_allclose(near - near[0], (pos - pos[0]).astype(np.float32), atol=1e-5)


def test_json_round_trip() -> None:
    frame = find_frame(room() * 1000, up="-y")
    again = Frame.from_json(frame.to_json())
    np.testing.assert_array_equal(again.matrix, frame.matrix)
    assert (again.unit, again.up, again.one_view, again.remarks) == (frame.unit, "-y", False, frame.remarks)


def test_unknown_options() -> None:
    with pytest.raises(UserError, match="units yards"):
        find_frame(room(), units="yards")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="up w"):
        find_frame(room(), up="w")  # type: ignore[arg-type]


def test_few_points() -> None:
    for count in (1, 2, 5):
        frame = find_frame(np.random.default_rng(0).uniform(0, 1, (count, 3)))
        assert np.isfinite(frame.matrix).all()


def test_level_ground_is_unchanged() -> None:
    ground = np.random.default_rng(0).uniform(-2, 2, (2000, 3)) * (1, 1, 0) - (0, 0, 1.5)
    assert level(np.eye(3), measure_surfaces(ground))[1] == 0


def test_normals_of_a_sphere() -> None:
    ball = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    normal = estimate_normals(ball + 100, towards=np.array([100.0, 100, 100]))
    assert (np.einsum("nc,nc->n", normal, ball) < -0.98).mean() > 0.99
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_real_scans(real_scans: Path) -> None:
    found = {path.stem: find_frame(read_cloud(path).pos) for path in real_scans.glob("*.pcd")}
    assert all(frame.unit == "m" for frame in found.values())
    assert [found[name].up for name in ("room_scan1", "room_scan2")] == ["z", "z"]
    views = [found[name] for name in ("capture0001", "region_growing_rgb_tutorial")]
    assert all(frame.up == "-y" and frame.one_view for frame in views)
