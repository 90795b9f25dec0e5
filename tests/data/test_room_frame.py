"""Walls, tilt, storeys and ground are found in rooms, and not where there are none."""
# ruff: noqa: RUF005 - arrays are added, not joined

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from benchmarks.building_clouds import ground as terrain
from benchmarks.cloud_parts import plate, scan, wall

from pcseg.data.alignment import find_frame
from pcseg.data.camera_view import rotation_between
from pcseg.data.ground import find_storeys, local_ground
from pcseg.data.io.clouds import read_cloud
from pcseg.data.room_frame import find_room_frame

RNG = np.random.default_rng(0)


def turned(pos: np.ndarray, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return pos @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def yaw_error(found: float | None, true: float) -> float:
    """Difference modulo 90 degrees."""
    assert found is not None
    return abs((found - true + 45) % 90 - 45)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_walls_of_generated_rooms(number: int) -> None:
    pos, _ = scan(number)
    for angle in (17.3, 44.9):
        frame = find_room_frame(turned(pos, angle).astype(np.float32))
        assert yaw_error(frame.yaw, angle) < 0.2
        assert -45 <= (frame.yaw or 0.0) < 45
        again = find_room_frame(turned(pos, angle) @ frame.rotation.T)
        assert yaw_error(again.yaw, 0) < 0.2


def test_walls_with_recesses_seen_by_one_scanner() -> None:
    """Parallel parts of a wall, 12 cm apart and sampled more densely near the scanner, do not turn its direction."""
    corners = [
        (0, 0),
        (3, 0),
        (3, 0.12),
        (8, 0.12),
        (8, 4),
        (4, 4),
        (4, 3.88),
        (0, 3.88),
        (0, 1.5),
        (0.12, 1.5),
        (0.12, 0),
    ]
    sides = [wall(np.array(a), np.array(b), 0, 2.6, 600, RNG) for a, b in pairwise(np.array(corners, float))]
    room = np.concatenate([plate((8, 4), 0, 300, RNG), *sides])
    near = 1 / ((room[:, :2] - (1.5, 2)) ** 2).sum(axis=1)
    seen = room[RNG.random(len(room)) < np.maximum(near, 0.02)]
    for angle in (0.0, 13.3, 33.7, 70.0):
        assert yaw_error(find_room_frame(turned(seen, angle)).yaw, angle) < 0.2


def test_tilt_is_leveled() -> None:
    pos, _ = scan(0)
    up = np.array([0.03, -0.04, 1]) / np.linalg.norm([0.03, -0.04, 1])
    frame = find_room_frame(pos @ rotation_between(np.array([0.0, 0, 1]), up).T)
    assert frame.tilt == pytest.approx(np.degrees(np.arccos(up[2])), abs=0.3)
    assert np.degrees(np.arccos(min(1, (frame.rotation @ up)[2]))) < 0.3
    assert np.linalg.det(frame.rotation) == pytest.approx(1)


@pytest.mark.slow
def test_storeys_and_ground_of_a_building() -> None:
    pos, size = scan(0)
    floors = (-3.0, 0.2, 3.4)
    building = np.concatenate([pos + (0, 0, floor) for floor in floors])
    assert find_room_frame(building).tilt == 0
    storeys, ground = find_storeys(building[::10]), local_ground(building)
    np.testing.assert_allclose([storey.floor for storey in storeys], floors, atol=0.03)
    np.testing.assert_allclose([storey.ceiling for storey in storeys], np.add(floors, size[2]), atol=0.05)
    inside = (pos[:, 2] > 0.05) & (pos[:, 2] < size[2] - 0.1)
    for floor in floors:
        above, below = ground.measure(pos[inside] + (0, 0, floor))
        assert np.mean(np.abs(above - pos[inside, 2]) < 0.05) > 0.97
        assert np.mean(np.abs(below - (size[2] - pos[inside, 2])) < 0.08) > 0.97
    open_top = local_ground(building[building[:, 2] < floors[-1] + 2]).measure(building)
    top = building[:, 2] > floors[-1] + 0.05
    assert np.isnan(open_top[1][top]).all()
    assert np.isfinite(open_top[1][building[:, 2] < floors[-1] - 0.4]).all()
    parts = [ground.measure(part)[0] for part in np.array_split(building, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), ground.measure(building)[0])


def test_ground_follows_a_step_and_continues_below_a_table() -> None:
    parts = [plate((4, 4), 0, 400, RNG), plate((4, 4), 0.3, 400, RNG) + (4, 0, 0)]
    parts += [wall(np.array([0.0, y]), np.array([8.0, y]), 0, 2.6, 300, RNG) for y in (0, 4)]
    room = np.concatenate(parts)
    hidden = (np.abs(room[:, :2] - (1.5, 2)) < 0.6).all(axis=1)
    room = np.concatenate([room[~hidden], plate((1.2, 1.2), 0.74, 800, RNG) + (0.9, 1.4, 0)])
    points = np.array([[1.5, 2, 0.74], [1.0, 3, 1.0], [6, 2, 1.3]])
    np.testing.assert_allclose(local_ground(room).measure(points)[0], [0.74, 1.0, 1.0], atol=0.05)


def test_clouds_without_directions() -> None:
    angle = RNG.uniform(0, 2 * np.pi, 20_000)
    tower = np.column_stack([4 * np.cos(angle), 4 * np.sin(angle), RNG.uniform(0, 3, 20_000)])
    ball = RNG.normal(size=(20_000, 3))
    cases = {
        "no dominant": np.concatenate([tower, plate((5, 5), 0, 200, RNG) - (2.5, 2.5, 0)]),
        "one direction": wall(np.zeros(2), np.array([3.0, 1]), 0, 2.5, 1000, RNG),
        "no upright": terrain(RNG, range(1)).pos,
        "": ball / np.linalg.norm(ball, axis=1, keepdims=True),
    }
    for reason, pos in cases.items():
        frame = find_room_frame(pos - np.median(pos, axis=0))
        assert frame.yaw is None
        assert reason in frame.reason
        np.testing.assert_allclose(frame.rotation[2, :2], 0, atol=0.2)


def test_few_points() -> None:
    for count in (0, 1, 5, 200):
        pos = RNG.uniform(0, 1, (count, 3)).astype(np.float32)
        assert find_room_frame(pos).rotation.shape == (3, 3)
        height, _ = local_ground(pos).measure(pos)
        assert height.shape == (count,)
        assert np.isfinite(height).all()
    assert find_room_frame(np.full((50, 3), np.nan)).yaw is None


@pytest.mark.slow
@pytest.mark.parametrize(("name", "true"), [("room_scan1", -0.2), ("room_scan2", -41.2)])
def test_real_scans(real_scans: Path, name: str, true: float) -> None:
    """The true yaw is the median direction of flat upright neighborhoods of 0.5 m, measured once."""
    cloud = read_cloud(real_scans / f"{name}.pcd")
    pos = find_frame(cloud.pos).apply(cloud.pos[cloud.finite])
    for angle in (0.0, 8.7, 41.0):
        assert yaw_error(find_room_frame(turned(pos, angle)).yaw, true + angle) < 0.5
