"""What happens to a scan before it is seen: any yaw and origin, tilt, missing ceilings and colors, parts only."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from data_prep.indoor.returns import Scene
from data_prep.synthetic.model import Pose
from data_prep.synthetic.scanner import Scan

ALTERATIONS: Mapping[str, float] = {"no_color": 0.15, "no_ceiling": 0.25, "partial": 0.25, "tilted": 0.4}
"""Alterations that can be held out by name, and their shares of the scans."""

MOST_TILT = 5.0
"""Degrees."""


def alter(cloud: Scan, scene: Scene, names: Collection[str], rng: np.random.Generator) -> Scan:
    """Apply the alterations in ``names``, then turn the scan by any yaw and move its origin."""
    pos, kept = cloud.pos, np.ones(len(cloud.pos), bool)
    if "no_ceiling" in names:
        drop = rng.uniform(0.02, 0.9)
        for height in set(scene.ceilings):
            kept &= (pos[:, 2] < height - drop) | (pos[:, 2] > height + 0.15)
    if "partial" in names:
        part = _part(pos, rng)
        kept &= part if (part & kept).sum() > 1000 else True
    turn = Pose(yaw=rng.uniform(0, 2 * np.pi)).rotation
    if "tilted" in names:
        turn = turn @ _tilt(np.radians(rng.uniform(0, MOST_TILT)), rng.uniform(0, 2 * np.pi))
    origin = rng.uniform(-20, 20, 3) * [1, 1, rng.choice([0, 0.1])]
    color = None if "no_color" in names or cloud.color is None else cloud.color[kept]
    return replace(cloud, pos=pos[kept] @ turn.T + origin, color=color, instance=cloud.instance[kept])


def _part(pos: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the points below a height, on one side of a plane, or around a point."""
    kind = rng.integers(3)
    if kind == 0:
        return pos[:, 2] < np.quantile(pos[:, 2], 0.02) + rng.uniform(1.2, 2.0)
    center = pos[rng.integers(len(pos)), :2]
    if kind == 1:
        angle = rng.uniform(0, 2 * np.pi)
        return (pos[:, :2] - center) @ [np.cos(angle), np.sin(angle)] < 0.3
    return np.linalg.norm(pos[:, :2] - center, axis=1) < rng.uniform(1.2, 3.0)


def _tilt(angle: float, direction: float) -> np.ndarray:
    """Return the rotation by ``angle`` about the horizontal axis at ``direction``."""
    x, y = np.cos(direction), np.sin(direction)
    cross = np.array([[0, 0, y], [0, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
