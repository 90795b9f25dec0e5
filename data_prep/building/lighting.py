"""Light on surfaces: lamps and windows with shadows, light that walls throw back, dark corners."""

import numpy as np

from data_prep.building.model import RoomModel


def shade(
    model: RoomModel, pos: np.ndarray, normal: np.ndarray, rng: np.random.Generator, *, threads: int = 0
) -> np.ndarray:
    """Light ``(n, 3)`` that reaches places with unit ``normal``: 1 is a well-lit face, by colour channel."""
    import open3d as o3d

    light = np.zeros((len(pos), 3), np.float32)
    start = (pos + 0.01 * normal).astype(np.float32)
    for lamp, color in zip(model.lamps, model.lamp_colors):
        # another spot of the lamp for every place: shadows get soft edges
        ray = (lamp - start + rng.uniform(-0.25, 0.25, start.shape) * [1, 1, 0.1]).astype(np.float32)
        away = np.linalg.norm(ray, axis=1)
        facing = np.clip(np.einsum("ij,ij->i", normal, ray) / away, 0, 1)
        bounded = o3d.core.Tensor(np.concatenate([start, ray], axis=1))
        free = ~model.scene.test_occlusions(bounded, 0.0, 0.95, threads).numpy()
        light += (free * facing / (1 + (away / 2.5) ** 2))[:, None] * color.astype(np.float32)
    width, depth, height = model.size
    gaps = [pos[:, 0], width - pos[:, 0], pos[:, 1], depth - pos[:, 1], pos[:, 2], height - pos[:, 2]]
    corner = sum(np.exp(-np.abs(gap) / 0.25) for gap in gaps) - 1
    # the ceiling sees no lamp but the lit floor
    ambient = 0.6 - 0.08 * np.clip(corner, 0, 2) + 0.4 * np.clip(-normal[:, 2], 0, 1)
    return ambient[:, None] + light
