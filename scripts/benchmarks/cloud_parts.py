"""Parts of clouds with a known unit and up axis: scans of generated rooms, plates and walls."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from data_prep.synthetic.plan import SHARES
from data_prep.synthetic.room_types import build_room
from data_prep.synthetic.scanner import choose_stations, scan_directions
from pcseg.data.alignment import METERS, ROTATIONS

UNITS = ("m", "cm", "mm", "ft", "in")


@dataclass(frozen=True, kw_only=True)
class GuessCase:
    """A cloud and what is true of it.

    Args:
        family: Kind of the cloud.
        pos: ``(N, 3)`` coordinates as a file has them.
        unit: Its unit.
        up: Its axis that points up.
        view: Whether it is a camera view in the camera's own axes.
        file_unit: Unit that the file states.
    """

    family: str
    pos: np.ndarray
    unit: str = "m"
    up: str = "z"
    view: bool = False
    file_unit: str | None = None


@lru_cache(maxsize=64)
def scan(number: int) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Scan generated room ``number`` from several stations; return points with range noise, and its size."""
    room_type = list(SHARES)[number % len(SHARES)]
    model, rng = build_room(number, room_type), np.random.default_rng(number)
    parts = []
    for station in choose_stations(model, rng)[:4]:
        rays = scan_directions(110, 360, rng)
        hits = model.cast(station, rays, threads=1)
        seen = np.isfinite(hits.distance)
        distance = hits.distance[seen] + rng.normal(0, 0.002, np.count_nonzero(seen))
        parts.append(station + distance[:, None] * rays[seen])
    return np.concatenate(parts), model.size


def some_room(rng: np.random.Generator, rooms: range, *, noise: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return a scanned room with random noise, spacing and yaw about its center, and its size."""
    pos, size = scan(int(rng.choice(rooms)))
    if noise:
        pos = pos + rng.normal(0, rng.choice([0.0, 0.003, 0.01]), pos.shape)
    pos = thin(pos, rng.choice([0.0, 0.02, 0.05, 0.1]))
    return turn(pos - np.array([size[0] / 2, size[1] / 2, 0]), rng), np.array(size)


def thin(pos: np.ndarray, cell: float) -> np.ndarray:
    """Keep one point per cell; 0 keeps all."""
    if not cell:
        return pos
    _, rows = np.unique(np.floor(pos / cell).astype(np.int64) @ (1, 1 << 20, 1 << 40), return_index=True)
    return pos[np.sort(rows)]


def turn(pos: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate about z: by nothing, a small or any angle."""
    angle = rng.choice([0.0, rng.normal(0, 0.03), rng.uniform(0, 2 * np.pi)])
    c, s = np.cos(angle), np.sin(angle)
    return pos @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def strays(pos: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add a few rays through windows to some clouds."""
    if rng.random() < 0.5:
        return pos
    away = pos[rng.integers(0, len(pos), max(1, len(pos) // 500))]
    return np.concatenate([pos, away + rng.normal(0, 10, away.shape)])


def origin(rng: np.random.Generator, *, kinds: int = 5) -> np.ndarray:
    """Return an offset: none, at a corner, below the floor, above the floor, or map coordinates."""
    kind = rng.integers(kinds)
    if kind == 0:
        return np.zeros(3)
    if kind == 1:
        return rng.uniform(0, 10, 3) * (1, 1, 0)
    if kind == 2:
        return np.array([0, 0, rng.uniform(3, 9)])
    if kind == 3:
        return np.array([0, 0, -rng.uniform(1, 2)])  # the first position of a hand-held scanner
    return np.array([rng.uniform(3e5, 7e5), rng.uniform(4e6, 6e6), rng.uniform(0, 500)])


def as_file(
    family: str,
    pos: np.ndarray,
    rng: np.random.Generator,
    *,
    units: tuple[str, ...] = ("m",),
    ups: tuple[str, ...] = ("z",),
) -> GuessCase:
    """Return the case of a cloud in meters with z up, in one of ``units`` and with one of ``ups``."""
    unit, up = str(rng.choice(units)), str(rng.choice(ups))
    return GuessCase(family=family, pos=pos / METERS[unit] @ np.array(ROTATIONS[up], float), unit=unit, up=up)


def cut_ceiling(pos: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Remove the upper part of a room."""
    return pos[pos[:, 2] < size[2] * rng.uniform(0.8, 0.93)]


def plate(size: tuple[float, float], height: float, density: float, rng: np.random.Generator) -> np.ndarray:
    """Sample a horizontal rectangle."""
    count = int(size[0] * size[1] * density)
    return np.column_stack([rng.uniform(0, 1, (count, 2)) * size, np.full(count, height)])


def wall(
    a: np.ndarray, b: np.ndarray, low: float, high: float, density: float, rng: np.random.Generator
) -> np.ndarray:
    """Sample an upright rectangle from ``a`` to ``b``."""
    count = max(1, int(np.linalg.norm(b - a) * (high - low) * density))
    return np.column_stack([a + rng.uniform(0, 1, (count, 1)) * (b - a), rng.uniform(low, high, count)])


def walls(
    size: tuple[float, float], high: float, density: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Sample the walls of a rectangular room of height ``high``."""
    width, depth = size
    corners = np.array([[0, 0], [width, 0], [width, depth], [0, depth], [0, 0]])
    return [wall(a, b, 0, high, density, rng) for a, b in pairwise(corners)]


def furniture(rng: np.random.Generator, rooms: range, density: float) -> np.ndarray:
    """Return the inside of a scanned room, without its floor, ceiling and walls, about its middle."""
    pos, size = scan(int(rng.choice(rooms)))
    inside = ((pos > 0.15) & (pos < np.array(size) - (0.15, 0.15, 0.6))).all(axis=1)
    keep = pos[inside]
    count = min(len(keep), int(density * 0.6 * size[0] * size[1]))
    return keep[rng.permutation(len(keep))[:count]] - np.array([size[0] / 2, size[1] / 2, 0])
