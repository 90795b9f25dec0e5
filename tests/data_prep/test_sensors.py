"""Sensors in an empty room of known walls: spacing, noise, holes, rings, strays and drift are as stated."""

import numpy as np
import pytest

pytest.importorskip("open3d")

from data_prep.indoor.light import Camera
from data_prep.indoor.merging import Merge
from data_prep.indoor.poses import Fan, Pinhole, Tripod, View, Walk
from data_prep.indoor.returns import Ranging, Scene
from data_prep.indoor.sensors import SENSORS, Sensor, scan
from data_prep.synthetic import textures
from data_prep.synthetic.model import Item, Pose, assemble
from data_prep.synthetic.scanner import Scan
from data_prep.synthetic.shapes import box, panel
from data_prep.synthetic.textures import Material

SIZE = np.array([5.0, 4.0, 2.6])


def empty_room(*, pole: bool = False) -> Scene:
    """A room of six planes, white, in which a gray pole stands if asked for."""
    white = Material(texture=textures.paint, color=(0.7, 0.7, 0.7))
    width, depth, height = SIZE
    flat = panel(width, depth).turned(-np.pi / 2, 0)
    items = [(Item("floor").add(white, flat), Pose()), (Item("ceiling").add(white, flat), Pose(z=height))]
    for side, (x, y, long) in enumerate(
        [(0, 0, width), (width, 0, depth), (width, depth, width), (0, depth, depth)]
    ):
        items.append((Item("wall").add(white, panel(long, height)), Pose(x, y, 0, side * np.pi / 2)))
    if pole:
        items.append((Item("clutter").add(white, box((0.3, 0.3, 1.8))), Pose(2.5, 2.0)))
    model = assemble(
        items, size=tuple(SIZE), obstacles=np.zeros((1, 4)), lamps=np.array([[2.5, 2.0, 2.4]]),
        lamp_colors=np.ones((1, 3)), seed=0,
    )  # fmt: skip
    x, y = np.meshgrid(np.linspace(0.6, 4.4, 7), np.linspace(0.6, 1.4, 3))
    return Scene(model, [np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])], [height])


def off_planes(pos: np.ndarray) -> np.ndarray:
    """Distance of points to the nearest of the six planes."""
    return np.abs(np.concatenate([pos, pos - SIZE], axis=1)).min(axis=1)


def nearest(pos: np.ndarray) -> np.ndarray:
    """Distance to the nearest neighbor of 300 of the points, compared with all others."""
    some = pos[np.random.default_rng(0).permutation(len(pos))[:300]]
    away = np.linalg.norm(some[:, None] - pos[None].astype(np.float32), axis=2)
    return np.partition(away, 1, axis=1)[:, 1]


def bare(merge: Merge, **options) -> Scan:
    sensor = Sensor(
        poses=Tripod(lens=Fan(rows=250, columns=500), least=2, most=2),
        ranging=Ranging(mixed=0.0), camera=None, merge=merge,
    )  # fmt: skip
    return scan(empty_room(), sensor, seed=1, points=10**6, **options)


@pytest.mark.parametrize(
    "name", [name if name == "phone" else pytest.param(name, marks=pytest.mark.slow) for name in SENSORS]
)
def test_named_sensors_are_deterministic_and_keep_their_limits(name: str) -> None:
    sensor, scene = SENSORS[name], empty_room(pole=True)
    first, again, other = (scan(scene, sensor, seed=seed, points=4000) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.pos, again.pos)
    assert first.color is not None
    assert again.color is not None
    np.testing.assert_array_equal(first.color, again.color)
    assert first.pos.shape != other.pos.shape or not np.array_equal(first.pos, other.pos)
    assert first.instance.min() >= -1
    assert first.instance.max() < len(scene.model.labels)
    assert np.isfinite(first.pos).all()


@pytest.mark.slow
@pytest.mark.parametrize("spacing", [0.04, 0.1])
@pytest.mark.parametrize("fused", [False, True])
def test_spacing_is_the_distance_to_the_nearest_neighbor(spacing: float, fused: bool) -> None:
    cloud = bare(Merge(spacing=(spacing, spacing), noise=(1e-4, 1e-4), fused=fused))
    assert np.median(nearest(cloud.pos)) == pytest.approx(spacing, rel=0.12)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.0003, 0.01])
@pytest.mark.parametrize("grain", [0.0, 0.05])
def test_noise_is_the_deviation_from_the_plane(sigma: float, grain: float) -> None:
    cloud = bare(Merge(spacing=(0.03, 0.03), noise=(sigma, sigma), grain=grain))
    away = off_planes(cloud.pos)
    assert np.sqrt(np.mean(away[away < 6 * sigma] ** 2)) == pytest.approx(sigma, rel=0.12)


@pytest.mark.slow
def test_noise_grows_with_the_power_of_the_distance() -> None:
    cloud = bare(Merge(spacing=(0.02, 0.02), noise=(0.003, 0.003), growth=2.0))
    eyes = empty_room().spots[0]
    floor = cloud.pos[np.abs(cloud.pos[:, 2]) < 0.06]
    away = np.linalg.norm(floor[:, None, :2] - eyes[None, :, :2], axis=2).min(axis=1)
    assert np.std(floor[away > 1.6][:, 2]) > 1.5 * np.std(floor[away < 0.6][:, 2])


def test_strays_are_isolated_and_without_object() -> None:
    cloud = bare(Merge(spacing=(0.03, 0.03), noise=(1e-3, 1e-3), strays=(0.04, 0.04)))
    stray = cloud.instance < 0
    assert stray.mean() == pytest.approx(0.04, rel=0.1)
    assert np.median(off_planes(cloud.pos[stray])) > 0.2
    assert np.median(off_planes(cloud.pos[~stray])) < 0.002


def test_mixed_pixels_lie_between_an_object_and_its_background() -> None:
    clouds = []
    for mixed in (0.0, 1.0):
        sensor = Sensor(
            poses=Tripod(lens=Fan(rows=200, columns=600), least=1, most=1), camera=None,
            ranging=Ranging(mixed=mixed, gap=4.0), merge=Merge(spacing=(0.01, 0.01), noise=(1e-4, 1e-4)),
        )  # fmt: skip
        clouds.append(scan(empty_room(pole=True), sensor, seed=1))
    in_air = []
    for cloud in clouds:
        aside = np.maximum(np.abs(cloud.pos[:, 0] - 2.5), np.abs(cloud.pos[:, 1] - 2.0)) - 0.15
        in_air.append(((aside > 0.03) & (off_planes(cloud.pos) > 0.03)).sum())
    assert in_air[0] == 0
    assert in_air[1] > 50


def test_rings_leave_gaps_between_them_and_nothing_below_the_station() -> None:
    sensor = Sensor(
        poses=Tripod(lens=Fan(rows=60, columns=2000, low=-55, high=60), least=1, most=1), camera=None,
        ranging=Ranging(grazing=1e-3), merge=Merge(spacing=(0.002, 0.002), noise=(1e-4, 1e-4)),
    )  # fmt: skip
    scene = empty_room()
    scene.spots[0] = scene.spots[0][10:11]
    cloud = scan(scene, sensor, seed=0)
    floor = cloud.pos[cloud.pos[:, 2] < 0.01]
    radius = np.sort(np.linalg.norm(floor[:, :2] - scene.spots[0][0, :2], axis=1))
    assert radius[0] > 0.85  # 1.3 m / tan 55 degrees
    assert np.diff(radius[radius < 2.0]).max() > 0.01
    assert cloud.pos[:, 2].max() < 2.61


def test_a_view_sees_what_lies_ahead_and_its_steps_grow_with_the_distance() -> None:
    sensor = Sensor(
        poses=View(lens=Pinhole(rows=120, columns=160, width=60)), ranging=Ranging(mixed=0, levels=50), camera=None,
        merge=Merge(spacing=(0.001, 0.001), noise=(1e-6, 1e-6)),
    )  # fmt: skip
    cloud = scan(empty_room(), sensor, seed=0)
    assert 5000 < len(cloud.pos) <= 120 * 160
    assert np.median(off_planes(cloud.pos)) > 0.005  # steps of 1 / 50 m
    assert np.ptp(cloud.pos[:, :2], axis=0).min() > 0.5


def test_drift_moves_later_poses_further() -> None:
    walk = Walk(lens=Pinhole(rows=20, columns=20, width=50), stops=10, turns=10, drift=(0.1, 0.1))
    ends = [walk.shots(empty_room(), np.random.default_rng(seed)).error for seed in range(20)]
    first, last = np.array([[np.linalg.norm(error[5]), np.linalg.norm(error[-1])] for error in ends]).T
    assert np.mean(last) > 2 * np.mean(first)
    assert np.sqrt(np.mean(last**2) / 3) == pytest.approx(0.1, rel=0.35)


@pytest.mark.slow
def test_photogrammetry_misses_plain_walls() -> None:
    options = {"poses": Walk(lens=Pinhole(rows=60, columns=80, width=70), stops=6, turns=8), "camera": None,
               "merge": Merge(spacing=(0.03, 0.03), noise=(1e-3, 1e-3))}  # fmt: skip
    full, holed = (
        len(scan(empty_room(), Sensor(plain=plain, **options), seed=0).pos) for plain in (1.0, 0.1)
    )
    assert holed < 0.9 * full


def test_exposure_and_clipping() -> None:
    scene, colors = empty_room(), []
    for exposure in (0.5, 1.0, 3.0):
        camera = Camera(
            exposure=(exposure, exposure), contrast=(1.0, 1.0), noise=(1e-3, 1e-3), blown=1.0, uneven=0.0
        )
        sensor = Sensor(
            poses=Tripod(lens=Fan(rows=60, columns=120), least=1, most=1), camera=camera,
            merge=Merge(spacing=(0.05, 0.05), noise=(1e-3, 1e-3)),
        )  # fmt: skip
        color = scan(scene, sensor, seed=0).color
        assert color is not None
        colors.append(color)
    dark, normal, bright = (color.mean() for color in colors)
    assert dark == pytest.approx(normal / 2, rel=0.06)
    assert bright > 200
    assert (colors[2] == 255).all(axis=1).mean() > 0.2
    assert (colors[0] > 242).mean() < 0.01
