"""The scan of a room: on its surfaces but for noise, occluded, thinner far away, with mixed pixels."""

import numpy as np
import pytest

pytest.importorskip("open3d")

from data_prep.synthetic.model import RoomModel
from data_prep.synthetic.room_types import build_room
from data_prep.synthetic.scanner import HIGHEST, LOWEST, Scan, choose_stations, scan_room
from pcseg.labels import S3DIS

POINTS = 40_000


@pytest.fixture(scope="module")
def model() -> RoomModel:
    return build_room(2, "conferenceRoom")


@pytest.fixture(scope="module")
def scan(model: RoomModel) -> Scan:
    return scan_room(model, points=POINTS, seed=1)


def distance_to_surface(model: RoomModel, pos: np.ndarray) -> np.ndarray:
    import open3d as o3d

    return model.scene.compute_distance(o3d.core.Tensor(pos.astype(np.float32))).numpy()


def test_points_are_as_many_as_asked_for(scan: Scan) -> None:
    assert scan.pos.shape == scan.color.shape == (POINTS, 3)
    assert scan.instance.shape == (POINTS,)


def test_the_scan_does_not_depend_on_threads(model: RoomModel, scan: Scan) -> None:
    again = scan_room(model, points=POINTS, seed=1, threads=1)
    np.testing.assert_array_equal(scan.pos, again.pos)
    np.testing.assert_array_equal(scan.color, again.color)
    other = scan_room(model, points=POINTS, seed=2)
    assert not np.array_equal(scan.pos, other.pos)


def test_most_points_lie_on_a_surface_and_some_between_two(model: RoomModel, scan: Scan) -> None:
    away = distance_to_surface(model, scan.pos)
    assert np.median(away) < 0.004
    assert 0.001 < (away > 0.03).mean() < 0.05


def test_points_have_the_instance_of_the_surface_they_lie_on(model: RoomModel, scan: Scan) -> None:
    import open3d as o3d

    nearest = model.scene.compute_closest_points(o3d.core.Tensor(scan.pos.astype(np.float32)))
    surface = model.triangle_surface[nearest["primitive_ids"].numpy()]
    assert (model.surface_instance[surface] == scan.instance).mean() > 0.97


def test_stations_stand_on_free_floor(model: RoomModel) -> None:
    stations = choose_stations(model, np.random.default_rng(0))
    assert 3 <= len(stations) <= 7
    for x, y, _ in stations:
        x0, x1, y0, y1 = model.obstacles.T
        assert not ((x0 < x) & (x < x1) & (y0 < y) & (y < y1)).any()
    apart = np.linalg.norm(stations[:, None] - stations, axis=-1) + 10 * np.eye(len(stations))
    assert apart.min() > 0.5


def test_no_ray_goes_straight_up_or_down(model: RoomModel) -> None:
    from data_prep.synthetic.scanner import scan_directions

    fan = scan_directions(50, 100, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(fan, axis=1), 1, atol=1e-5)
    elevation = np.arcsin(fan[:, 2])
    assert LOWEST - 0.01 < elevation.min()
    assert elevation.max() < HIGHEST + 0.01
    labels = np.array(model.labels)[scan_room(model, points=5000, seed=0).instance]
    assert (labels == "ceiling").mean() < 0.3


def test_every_point_is_seen_from_a_station(model: RoomModel, scan: Scan) -> None:
    import open3d as o3d

    pos = scan.pos[::10].astype(np.float32)
    seen = np.zeros(len(pos), bool)
    for station in choose_stations(model, np.random.default_rng(1)):
        rays = np.concatenate([np.broadcast_to(station, pos.shape), pos - station], axis=1)
        seen |= ~model.scene.test_occlusions(o3d.core.Tensor(rays.astype(np.float32)), 0.0, 0.97).numpy()
    assert seen.mean() > 0.97


def test_density_falls_with_distance() -> None:
    model = build_room(0, "hallway")
    scan = scan_room(model, points=POINTS, seed=0)
    floor = scan.pos[np.array(model.labels)[scan.instance] == "floor"]
    long = int(np.argmax(model.size[:2]))
    count, _ = np.histogram(floor[:, long], bins=30, range=(0, model.size[long]))
    assert count.max() > 3 * max(1, np.percentile(count, 10))


def test_colors_of_classes_overlap_but_are_not_all_one() -> None:
    model = build_room(3, "conferenceRoom")
    scan = scan_room(model, points=POINTS, seed=0)
    labels = np.array(model.labels)[scan.instance]
    assert set(labels) <= set(S3DIS.names)
    gray = scan.color.mean(axis=1)
    wall, board = (np.percentile(gray[labels == name], [10, 90]) for name in ("wall", "board"))
    assert board[0] < wall[1]
    assert wall[0] < board[1]
    assert scan.color.std(axis=0).min() > 20
    assert (scan.color == 255).all(axis=1).mean() < 0.02
