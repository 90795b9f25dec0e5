"""The scanner: several stations, a capped fan of rays, range noise, lost returns and mixed pixels."""

from dataclasses import dataclass

import numpy as np

from data_prep.synthetic.lighting import compress_bright, find_exposure, look
from data_prep.synthetic.model import RoomModel

LOWEST, HIGHEST = np.radians(-62.0), np.radians(54.0)
"""Elevation of the fan: straight up, a scanner would see little but ceiling."""

MIXED = 0.2
"""Share of the returns at the edge of an object that lie between it and its background."""


@dataclass(frozen=True)
class Scan:
    """Points: ``pos`` (N, 3) float64 meters, ``color`` (N, 3) uint8, ``instance`` (N,) int32, -1 for strays.

    Only sensors of generated buildings leave strays, and some of them ``None`` as color.
    """

    pos: np.ndarray
    color: np.ndarray | None
    instance: np.ndarray


@dataclass(frozen=True)
class Sweep:
    """Returns of one station.

    Attributes:
        station: Its position, ``(3,)``.
        columns: Rays of one turn; ray ``r`` is in row ``r // columns``, from below to above.
        ray: Ray of each return, ascending, ``(n,)``.
        pos, color, instance: As in :class:`Scan`.
    """

    station: np.ndarray
    columns: int
    ray: np.ndarray
    pos: np.ndarray
    color: np.ndarray
    instance: np.ndarray


def scan_room(model: RoomModel, *, points: int, seed: int, threads: int = 0) -> Scan:
    """Scan ``model`` from several stations; return points in the order in which they were measured.

    Args:
        points: Number of points; fewer return if most rays leave the room through openings.
        threads: Threads of the ray caster; 0 for all cores. The points do not depend on it.
    """
    rng = np.random.default_rng(seed)
    sweeps = sweep_room(model, points=points, rng=rng, threads=threads)
    parts = [(sweep.pos, sweep.color, sweep.instance) for sweep in sweeps]
    pos, color, instance = (np.concatenate(columns) for columns in zip(*parts))
    kept = np.sort(rng.permutation(len(pos))[:points])
    return Scan(pos[kept], color[kept], instance[kept])


def sweep_room(model: RoomModel, *, points: int, rng: np.random.Generator, threads: int = 0) -> list[Sweep]:
    """Return the sweeps of :func:`scan_room`, one per station, with all returns and their rays."""
    stations = choose_stations(model, rng)
    rays = int(np.ceil(1.3 * points / len(stations)))
    looks = ((station, scan_directions(20, 40, rng)) for station in stations)
    exposure = find_exposure(model, looks, rng, threads)
    return [_sweep(model, station, rays, exposure, rng, threads) for station in stations]


def choose_stations(model: RoomModel, rng: np.random.Generator) -> np.ndarray:
    """Choose stations ``(n, 3)`` on free floor, each as close as possible to areas far from earlier ones."""
    width, depth, height = model.size
    spots = rng.uniform([0.3, 0.3], [width - 0.3, depth - 0.3], (300, 2))
    x0, x1, y0, y1 = model.obstacles.T[:, :, None]
    beside = (spots[:, 0] > x0 - 0.25) & (spots[:, 0] < x1 + 0.25)
    beside &= (spots[:, 1] > y0 - 0.25) & (spots[:, 1] < y1 + 0.25)
    clear = spots[~beside.any(axis=0)]
    clear = clear if len(clear) else spots
    away = np.linalg.norm(clear[:, None] - spots, axis=-1)
    number = int(np.clip(round(width * depth / 6), 3, 7))
    nearest = np.full(len(spots), np.inf)
    chosen = []
    for _ in range(number):
        best = np.minimum(away, nearest).mean(axis=1).argmin()
        chosen.append(clear[best])
        nearest = np.minimum(nearest, away[best])
    heights = np.minimum(rng.uniform(1.3, 1.75, (number, 1)), height - 0.5)
    return np.hstack([np.array(chosen), heights])


def _sweep(
    model: RoomModel, station: np.ndarray, rays: int, exposure: float, rng: np.random.Generator, threads: int
) -> Sweep:
    """Scan one turn of at most ``rays`` rays."""
    columns = max(4, int(np.sqrt(rays * 2 * np.pi / (HIGHEST - LOWEST))))
    directions = scan_directions(rays // columns, columns, rng)
    hits, found, place, reflected = look(model, station, directions, rng, threads)
    surface, normal = hits.surface, hits.normal[found]
    light = np.zeros((len(directions), 3), np.float32)
    light[found] = reflected
    light = _soften(_soften(light, surface, 1), surface, columns)
    color = np.zeros_like(light)
    color[found] = model.albedo(place, normal, surface[found]) * light[found]

    distance, partner, weight = _mix(hits.distance, columns, rng)
    nearer = np.where(weight > 0.5, partner, np.arange(len(directions)))
    color += weight[:, None] * (color[partner] - color)
    color = _misplace(color, surface, columns, int(rng.integers(-1, 2)))
    color = color[found] * exposure * rng.normal(1, 0.035) * rng.normal(1, 0.012, 3)
    color = compress_bright(color) + rng.normal(0, 0.012, (len(found), 1))

    range_noise = rng.normal(0, 0.001 + 0.0005 * distance[found])
    pos = station + (distance[found] + range_noise)[:, None] * directions[found].astype(np.float64)
    kept = ~_lost(model, surface[found], np.einsum("ij,ij->i", normal, directions[found]), rng)
    color = np.clip(np.rint(color * 255), 0, 255).astype(np.uint8)
    instance = model.surface_instance[surface[nearer[found]]]
    return Sweep(station, columns, found[kept], pos[kept], color[kept], instance[kept])


def scan_directions(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Return unit directions ``(rows * columns, 3)``, row by row, with a slight wobble of the scan lines."""
    azimuth = np.arange(columns) * 2 * np.pi / columns + rng.uniform(0, 2 * np.pi)
    elevation = np.linspace(LOWEST, HIGHEST, rows)[:, None] + rng.normal(0, 4e-4, (rows, columns))
    level = np.cos(elevation)
    directions = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=-1)
    return directions.reshape(-1, 3).astype(np.float32)


def _soften(light: np.ndarray, surface: np.ndarray, step: int) -> np.ndarray:
    """Average the light over five rays ``step`` apart that meet the same surface."""
    total, count = light.copy(), np.ones((len(light), 1), np.float32)
    for shift in (-2 * step, -step, step, 2 * step):
        same = (np.roll(surface, shift) == surface)[:, None]
        total += same * np.roll(light, shift, axis=0)
        count += same
    return total / count


def _mix(distance: np.ndarray, columns: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Let some returns at edges fall between two surfaces: distances ``(n,)``, the ray mixed in, its share."""
    rays = np.arange(len(distance))
    step = np.where(rng.random(len(distance)) < 0.5, 1, columns)
    partner = np.where(rays + step < len(distance), rays + step, rays)
    both = np.isfinite(distance) & np.isfinite(distance[partner])
    gap = np.abs(np.where(both, distance, 0) - np.where(both, distance[partner], 0))
    # a wall seen at a flat angle also jumps from ray to ray, but in proportion to its distance
    edge = both & (gap > 0.05 + 0.06 * distance) & (gap < 1.5) & (rng.random(len(distance)) < MIXED)
    weight = np.where(edge, rng.random(len(distance)), 0).astype(np.float32)
    mixed = distance.copy()
    mixed[edge] += weight[edge] * (distance[partner[edge]] - distance[edge])
    return mixed, np.where(edge, partner, rays), weight


def _misplace(color: np.ndarray, surface: np.ndarray, columns: int, shift: int) -> np.ndarray:
    """Take colors from ``shift`` rays to the side, as camera and scanner are never aligned to the pixel."""
    source = np.roll(np.arange(len(color)).reshape(-1, columns), shift, axis=1).ravel()
    return np.where((surface[source] >= 0)[:, None], color[source], color)


def _lost(model: RoomModel, surface: np.ndarray, cosine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return which returns are lost: through glass, from screens, at grazing angles."""
    dropout = np.array([material.dropout for material in model.materials])[surface]
    return rng.random(len(surface)) > (1 - dropout) * np.clip(np.abs(cosine) / 0.08, 0.15, 1)
