"""Light on surfaces: lamps and windows with shadows, light reflected by walls, dark corners."""

from collections.abc import Iterable

import numpy as np

from data_prep.synthetic.model import Hits, RoomModel

LAMP_SIZE = (0.5, 0.5, 0.05)
"""Distance between the spots of a lamp in meters."""

EXPOSURE = 0.8
"""Brightness in the camera of a white surface in the mean light of the room."""


def look(
    model: RoomModel, eye: np.ndarray, rays: np.ndarray, rng: np.random.Generator, threads: int
) -> tuple[Hits, np.ndarray, np.ndarray, np.ndarray]:
    """Cast rays ``(n, 3)``; return their hits, the rows that hit, and the positions and light ``(m, 3)`` of these."""
    hits = model.cast(eye, rays, threads=threads)
    found = np.flatnonzero(hits.surface >= 0)
    place = eye + hits.distance[found, None] * rays[found]
    return hits, found, place, shade(model, place, hits.normal[found], rng, threads=threads)


def find_exposure(
    model: RoomModel,
    looks: Iterable[tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
    threads: int,
) -> float:
    """Return the factor of the light for all pictures of a room, from some rays of each position in ``looks``."""
    light = [look(model, eye, rays, rng, threads)[3] for eye, rays in looks]
    return EXPOSURE / float(np.concatenate(light).mean())


def compress_bright(color: np.ndarray) -> np.ndarray:
    """Compress bright colors to at most 1."""
    bright = np.maximum(color - 0.7, 0)
    return np.minimum(color, 0.7) + 0.3 * (1 - np.exp(-bright / 0.3))


def shade(
    model: RoomModel, pos: np.ndarray, normal: np.ndarray, rng: np.random.Generator, *, threads: int = 0
) -> np.ndarray:
    """Return the light ``(n, 3)`` that reaches points with unit ``normal``, by color channel; 1 is a well-lit face."""
    light = np.zeros((len(pos), 3), np.float32)
    start, normal = (pos + 0.01 * normal).astype(np.float32), normal.astype(np.float32)
    # a different spot of the lamp per point, so that shadows have soft edges
    spread = (rng.random(start.shape, np.float32) - 0.5) * np.float32(LAMP_SIZE)
    for lamp, color in zip(model.lamps.astype(np.float32), model.lamp_colors.astype(np.float32)):
        ray = lamp + spread - start
        away = np.sqrt(np.einsum("ij,ij->i", ray, ray))
        facing = np.maximum(np.einsum("ij,ij->i", normal, ray) / away, 0)
        free = ~model.blocked(start, ray, 0.95, threads=threads)
        light += (free * facing / (1 + np.square(away / 2.5)))[:, None] * color
    width, depth, height = model.size
    gaps = [pos[:, 0], width - pos[:, 0], pos[:, 1], depth - pos[:, 1], pos[:, 2], height - pos[:, 2]]
    corner = sum(np.exp(-np.abs(gap) / 0.25) for gap in gaps) - 1
    # the ceiling sees no lamp but the lit floor
    ambient = 0.6 - 0.08 * np.clip(corner, 0, 2) + 0.5 * np.clip(-normal[:, 2], 0, 1)
    return ambient[:, None] + light
