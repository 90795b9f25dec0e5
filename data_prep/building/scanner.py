"""The scanner: several stations, a capped fan of rays, range noise, lost returns and mixed pixels."""

from dataclasses import dataclass

import numpy as np

from data_prep.building.lighting import shade
from data_prep.building.model import RoomModel

LOWEST, HIGHEST = np.radians(-62.0), np.radians(48.0)
"""Elevation of the fan: a scanner that looks straight up would see little but ceiling."""


@dataclass(frozen=True)
class Scan:
    """Points of a room: ``pos`` (N, 3) float64 metres, ``color`` (N, 3) uint8, ``instance`` (N,) int32."""

    pos: np.ndarray
    color: np.ndarray
    instance: np.ndarray


def scan_room(model: RoomModel, *, points: int, seed: int, threads: int = 0) -> Scan:
    """Scan ``model`` from several stations.

    Args:
        model: The room.
        points: Points wanted; fewer come back only where the rays of twice as many meet nothing.
        seed: Of stations, noise and drop-out.
        threads: Of the ray caster, 0: all cores; the points do not depend on it.

    Returns:
        Points in the order in which they were measured.
    """
    rng = np.random.default_rng(seed)
    stations = choose_stations(model, rng)
    share = int(np.ceil(1.35 * points / len(stations)))
    scans = [_sweep(model, station, share, rng, threads) for station in stations]
    pos, color, instance = (np.concatenate(parts) for parts in zip(*scans))
    kept = np.sort(rng.permutation(len(pos))[:points])
    return Scan(pos[kept], color[kept], instance[kept])


def choose_stations(model: RoomModel, rng: np.random.Generator) -> np.ndarray:
    """Places ``(n, 3)`` on free floor, far from each other, one for about 7 square metres."""
    width, depth, height = model.size
    spots = rng.uniform([0.35, 0.35], [width - 0.35, depth - 0.35], (400, 2))
    x0, x1, y0, y1 = model.obstacles.T[:, :, None]
    inside = (spots[:, 0] > x0 - 0.3) & (spots[:, 0] < x1 + 0.3)
    inside &= (spots[:, 1] > y0 - 0.3) & (spots[:, 1] < y1 + 0.3)
    clear = spots[~inside.any(axis=0)]
    spots = clear if len(clear) else spots
    number = int(np.clip(round(width * depth / 7), 2, 6))
    chosen = [spots[0]]
    while len(chosen) < number:
        away = np.min([np.linalg.norm(spots - spot, axis=1) for spot in chosen], axis=0)
        chosen.append(spots[away.argmax()])
    heights = np.minimum(rng.uniform(1.35, 1.75, (number, 1)), height - 0.5)
    return np.hstack([np.array(chosen), heights])


def _sweep(
    model: RoomModel, station: np.ndarray, rays: int, rng: np.random.Generator, threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One turn of the scanner: points, colours and instances of about ``rays`` rays."""
    columns = int(np.sqrt(rays * 2 * np.pi / (HIGHEST - LOWEST)))
    rows = rays // columns
    azimuth = np.arange(columns) * 2 * np.pi / columns + rng.uniform(0, 6)
    elevation = np.linspace(LOWEST, HIGHEST, rows)[:, None] + rng.normal(0, 2e-4, (rows, columns))
    level = np.cos(elevation)
    rays3 = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=-1)
    directions = rays3.reshape(-1, 3).astype(np.float32)
    hits = model.cast(station, directions, threads=threads)
    found = np.flatnonzero(hits.surface >= 0)
    distance, surface = hits.distance[found], hits.surface[found]
    pos = station + distance[:, None].astype(np.float64) * directions[found]
    color = model.albedo(pos, hits.normal[found], surface)
    color = color * shade(model, pos, hits.normal[found], rng, threads=threads)

    dropout = np.array([material.dropout for material in model.materials])[surface]
    grazing = np.abs(np.einsum("ij,ij->i", hits.normal[found], directions[found]))
    lost = rng.random(len(found)) < 1 - (1 - dropout) * np.clip(grazing / 0.08, 0.15, 1)

    exposure = rng.normal(1, 0.04) * rng.normal(1, 0.012, 3)
    color = color * exposure + rng.normal(0, 0.012, (len(found), 1))
    noise = rng.normal(0, 0.0012 + 0.0006 * distance)
    pos += noise[:, None] * directions[found]
    color = np.clip(np.rint(color * 255), 0, 255).astype(np.uint8)
    return pos[~lost], color[~lost], model.surface_instance[surface][~lost]
