"""Light on surfaces: lamps under the ceiling with shadows, and corners darker than open faces."""

import numpy as np

from data_prep.building.model import RoomModel


def shade(
    model: RoomModel, pos: np.ndarray, normal: np.ndarray, rng: np.random.Generator, *, threads: int = 0
) -> np.ndarray:
    """Brightness ``(n, 1)``: 1 is a well-lit face."""
    import open3d as o3d

    light = np.zeros(len(pos))
    start = (pos + 0.01 * normal).astype(np.float32)
    for lamp in model.lamps:
        ray = (lamp - start).astype(np.float32)
        away = np.linalg.norm(ray, axis=1)
        facing = np.clip(np.einsum("ij,ij->i", normal, ray) / away, 0, 1)
        bounded = o3d.core.Tensor(np.concatenate([start, ray], axis=1))
        free = ~model.scene.test_occlusions(bounded, 0.0, 0.97, threads).numpy()
        light += free * facing / (1 + (away / 3) ** 2)
    width, depth, height = model.size
    gaps = [pos[:, 0], width - pos[:, 0], pos[:, 1], depth - pos[:, 1], pos[:, 2], height - pos[:, 2]]
    corner = sum(np.exp(-np.abs(gap) / 0.25) for gap in gaps) - 1
    ambient = 0.62 - 0.09 * np.clip(corner, 0, 2)
    return (ambient + 1.1 * light / max(1, len(model.lamps)))[:, None]
