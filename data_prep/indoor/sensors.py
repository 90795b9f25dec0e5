"""Sensors by name: each is composed of where it looks from, how it measures, how its returns become a cloud."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from data_prep.indoor.light import Camera
from data_prep.indoor.merging import Merge
from data_prep.indoor.poses import Fan, Pinhole, Tripod, View, Walk
from data_prep.indoor.returns import Ranging, Returns, Scene, measure
from data_prep.synthetic.model import RoomModel
from data_prep.synthetic.scanner import Scan


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """A sensor: where it stands and looks, how it measures distances and color, how its returns become a cloud.

    ``plain`` is the share of the points that remain on surfaces without any texture, as in photogrammetry.
    """

    poses: Tripod | Walk | View
    merge: Merge
    ranging: Ranging = field(default_factory=Ranging)
    camera: Camera | None = field(default_factory=Camera)
    plain: float = 1.0


def scan(
    scene: Scene, sensor: Sensor, *, seed: int, points: int = 300_000, spacing: float = 0.0, threads: int = 1
) -> Scan:
    """Return the cloud of at most ``points`` points, at least ``spacing`` apart, that a sensor makes of a scene."""
    rng = np.random.default_rng(seed)
    shots = sensor.poses.shots(scene, rng)
    returns = measure(scene, shots, sensor.ranging, rng, threads=threads)
    cloud = sensor.merge.cloud(returns, rng, points=points, least=spacing)
    if sensor.plain < 1:
        cloud = _with_texture(scene.model, cloud, sensor.plain, rng)
    color = None
    if sensor.camera is not None:
        color = sensor.camera.record(scene.model, cloud, shots.eye, rng, threads=threads)
    owner = np.append(scene.model.surface_instance, -1)
    return Scan(cloud.pos, color, owner[cloud.surface])


def _with_texture(model: RoomModel, cloud: Returns, plain: float, rng: np.random.Generator) -> Returns:
    """Drop points on plain surfaces: images of them cannot be matched. What remains there is rough."""
    side = np.cross(cloud.normal, rng.normal(size=cloud.normal.shape))
    side *= 0.03 / (np.linalg.norm(side, axis=1, keepdims=True) + 1e-9)
    here, there = (
        model.albedo(cloud.hit + shift, cloud.normal, cloud.surface).mean(axis=1) for shift in (0, side)
    )
    texture = np.clip(np.abs(here - there) / 0.05, 0, 1)
    phase = cloud.pos @ (rng.normal(size=(3, 3)) * 2.5) + rng.uniform(0, 6.3, 3)
    luck = np.clip(0.5 + 0.5 * np.sin(phase).sum(axis=1), 0, 1)
    kept = rng.random(len(cloud)) < np.maximum(texture, plain + (1 - plain) * luck)
    rough = rng.normal(0, 0.006, len(cloud)) * (texture < 0.3)
    return replace(cloud, pos=cloud.pos + rough[:, None] * cloud.normal)[np.flatnonzero(kept)]


_NARROW = Pinhole(rows=69, columns=92, width=58)

SENSORS: Mapping[str, Sensor] = {
    "laser": Sensor(
        poses=Tripod(lens=Fan(rows=420, columns=1100), least=1, most=3),
        ranging=Ranging(ghosts=0.05),
        merge=Merge(spacing=(0.006, 0.025), noise=(0.001, 0.004), growth=0.5, strays=(0.002, 0.06)),
    ),
    "rings": Sensor(
        poses=Tripod(lens=Fan(rows=110, columns=1800, low=-55), least=2, most=4),
        ranging=Ranging(ghosts=0.05, mixed=0.3),
        merge=Merge(spacing=(0.003, 0.012), noise=(0.001, 0.005), strays=(0.001, 0.02)),
    ),
    "mobile_laser": Sensor(
        poses=Walk(lens=Fan(rows=24, columns=600, low=-70, high=75, tilt=25), stops=8, turns=4, drift=(0.003, 0.02)),
        ranging=Ranging(least=0.5, ghosts=0.03),
        merge=Merge(spacing=(0.015, 0.1), noise=(0.004, 0.01), strays=(0.004, 0.06)),
    ),
    "station_mesh": Sensor(
        poses=Tripod(lens=Fan(rows=400, columns=900, low=-65), least=3, most=5),
        ranging=Ranging(mixed=0.03, most=8),
        merge=Merge(spacing=(0.006, 0.014), noise=(0.0003, 0.001), grain=0.08, smooth=1),
        camera=Camera(noise=(0.03, 0.07), exposure=(0.7, 1.3)),
    ),
    "depth_mesh": Sensor(
        poses=Walk(lens=_NARROW, stops=8, turns=8, drift=(0.001, 0.008), pitch=(-20, 16), sector=220),
        ranging=Ranging(least=0.4, most=4.5, mixed=0.2, gap=0.25, grazing=0.25),
        merge=Merge(
            spacing=(0.012, 0.025), noise=(0.0034, 0.0086), grain=0.05, growth=0.5, fused=True, observed=2,
            smooth=1
        ),
    ),
    "handheld": Sensor(
        poses=Walk(lens=_NARROW, stops=8, turns=8, drift=(0.01, 0.05), pitch=(-20, 16), sector=250),
        ranging=Ranging(least=0.5, most=5, mixed=0.3, grazing=0.2, levels=350),
        merge=Merge(spacing=(0.008, 0.02), noise=(0.002, 0.009), growth=1.5, strays=(0.001, 0.03)),
    ),
    "phone": Sensor(
        poses=Walk(
            lens=Pinhole(rows=48, columns=64, width=62), stops=10, turns=7, pitch=(-8, 18), drift=(0.005, 0.03)
        ),
        ranging=Ranging(least=0.3, most=5, mixed=0.6, gap=0.6, grazing=0.15),
        merge=Merge(spacing=(0.02, 0.06), noise=(0.005, 0.01), grain=0.15, fused=True, smooth=3),
        camera=Camera(noise=(0.03, 0.07), uneven=0.08),
    ),
    "photogrammetry": Sensor(
        poses=Walk(lens=Pinhole(rows=66, columns=88, width=72), stops=8, turns=10),
        ranging=Ranging(least=0.2, most=12, mixed=0.5, gap=0.4, grazing=0.2),
        merge=Merge(spacing=(0.008, 0.04), noise=(0.003, 0.01), grain=0.06, growth=1, strays=(0.003, 0.05)),
        camera=Camera(noise=(0.015, 0.05), uneven=0.0),
        plain=0.15,
    ),
    "view": Sensor(
        poses=View(lens=Pinhole(rows=360, columns=480, width=60)),
        ranging=Ranging(least=0.5, most=8, mixed=0.3, grazing=0.12, levels=600),
        merge=Merge(spacing=(0.003, 0.01), noise=(0.001, 0.004), growth=2),
    ),
}  # fmt: skip
"""Sensors that can be held out by name."""
