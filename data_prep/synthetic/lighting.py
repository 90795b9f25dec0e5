"""Light on surfaces: lamps and windows with shadows, light reflected by walls, dark corners."""

import numpy as np

from data_prep.synthetic.model import RoomModel

LAMP_SIZE = (0.5, 0.5, 0.05)
"""Distance between the spots of a lamp in meters."""


def shade(
    model: RoomModel, pos: np.ndarray, normal: np.ndarray, rng: np.random.Generator, *, threads: int = 0
) -> np.ndarray:
    """Return the light ``(n, 3)`` that reaches points with unit ``normal``, by color channel; 1 is a well-lit face."""
    import open3d as o3d

    light = np.zeros((len(pos), 3), np.float32)
    start, normal = (pos + 0.01 * normal).astype(np.float32), normal.astype(np.float32)
    # a different spot of the lamp per point, so that shadows have soft edges
    spread = (rng.random(start.shape, np.float32) - 0.5) * np.float32(LAMP_SIZE)
    rays = np.empty((len(pos), 6), np.float32)
    rays[:, :3] = start
    for lamp, color in zip(model.lamps.astype(np.float32), model.lamp_colors.astype(np.float32)):
        ray = lamp + spread - start
        away = np.sqrt(np.einsum("ij,ij->i", ray, ray))
        facing = np.maximum(np.einsum("ij,ij->i", normal, ray) / away, 0)
        rays[:, 3:] = ray
        free = ~model.scene.test_occlusions(o3d.core.Tensor(rays), 0.0, 0.95, threads).numpy()
        light += (free * facing / (1 + np.square(away / 2.5)))[:, None] * color
    width, depth, height = model.size
    gaps = [pos[:, 0], width - pos[:, 0], pos[:, 1], depth - pos[:, 1], pos[:, 2], height - pos[:, 2]]
    corner = sum(np.exp(-np.abs(gap) / 0.25) for gap in gaps) - 1
    # the ceiling sees no lamp but the lit floor
    ambient = 0.6 - 0.08 * np.clip(corner, 0, 2) + 0.5 * np.clip(-normal[:, 2], 0, 1)
    return ambient[:, None] + light
