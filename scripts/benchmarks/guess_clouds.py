"""Clouds of many kinds with a known unit and up axis, made from scans of generated rooms."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from data_prep.synthetic.plan import SHARES
from data_prep.synthetic.room_types import build_room
from data_prep.synthetic.scanner import _fan, choose_stations
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


Maker = Callable[[np.random.Generator, range], GuessCase]


@lru_cache(maxsize=64)
def scan(number: int) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Scan generated room ``number`` from several stations; return points with range noise, and its size."""
    room_type = list(SHARES)[number % len(SHARES)]
    model, rng = build_room(number, room_type), np.random.default_rng(number)
    parts = []
    for station in choose_stations(model, rng)[:4]:
        rays = _fan(110, 360, rng)
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
    return pos[pos[:, 2] < size[2] * rng.uniform(0.8, 0.93)]


def room(rng: np.random.Generator, rooms: range) -> GuessCase:
    pos, _ = some_room(rng, rooms)
    return as_file("room, any origin", strays(pos, rng) + origin(rng), rng)


def open_room(rng: np.random.Generator, rooms: range) -> GuessCase:
    pos, size = some_room(rng, rooms)
    return as_file("room without ceiling", strays(cut_ceiling(pos, size, rng), rng) + origin(rng), rng)


def room_unit(rng: np.random.Generator, rooms: range) -> GuessCase:
    pos, _ = some_room(rng, rooms)
    return as_file("room, any unit", strays(pos, rng) + origin(rng), rng, units=UNITS)


def room_axis(rng: np.random.Generator, rooms: range) -> GuessCase:
    pos, _ = some_room(rng, rooms)
    return as_file("room, any axis", strays(pos, rng) + origin(rng, kinds=4), rng, ups=tuple(ROTATIONS))


def room_unit_axis(rng: np.random.Generator, rooms: range) -> GuessCase:
    pos, _ = some_room(rng, rooms)
    return as_file("room, any unit and axis", pos + origin(rng), rng, units=UNITS, ups=("y", "-y", "x", "-x"))


def open_room_unit_axis(rng: np.random.Generator, rooms: range) -> GuessCase:
    pos, size = some_room(rng, rooms)
    pos = cut_ceiling(pos, size, rng)
    return as_file(
        "room without ceiling, any unit and axis", pos + origin(rng), rng, units=UNITS, ups=("z", "y", "-y")
    )


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


def furniture(rng: np.random.Generator, rooms: range, density: float) -> np.ndarray:
    """Return the inside of a scanned room, without its floor, ceiling and walls, about its middle."""
    pos, size = scan(int(rng.choice(rooms)))
    inside = ((pos > 0.15) & (pos < np.array(size) - (0.15, 0.15, 0.6))).all(axis=1)
    keep = pos[inside]
    count = min(len(keep), int(density * 0.6 * size[0] * size[1]))
    return keep[rng.permutation(len(keep))[:count]] - np.array([size[0] / 2, size[1] / 2, 0])


def storey(
    width: float,
    depth: float,
    height: float,
    grid: float,
    density: float,
    rng: np.random.Generator,
    rooms: range,
) -> np.ndarray:
    """Sample one storey of a building: slabs, walls on a grid with gaps, furniture."""
    parts = [plate((width, depth), 0, density, rng), plate((width, depth), height, density, rng)]
    xs, ys = (
        np.arange(0, width + 1e-6, width / max(1, round(width / grid))),
        np.arange(0, depth + 1e-6, depth / max(1, round(depth / grid))),
    )
    for x in xs:
        for y in ys[:-1]:
            if x in (xs[0], xs[-1]) or rng.random() < 0.7:
                parts.append(
                    wall(np.array([x, y]), np.array([x, y + ys[1] - ys[0]]), 0, height, density, rng)
                )
    for y in ys:
        for x in xs[:-1]:
            if y in (ys[0], ys[-1]) or rng.random() < 0.7:
                parts.append(
                    wall(np.array([x, y]), np.array([x + xs[1] - xs[0], y]), 0, height, density, rng)
                )
    for x in (xs[:-1] + xs[1:]) / 2:
        for y in (ys[:-1] + ys[1:]) / 2:
            if rng.random() < 0.6:
                parts.append(furniture(rng, rooms, density) + (x, y, 0))
    return np.concatenate(parts)


def building(rng: np.random.Generator, rooms: range) -> GuessCase:
    width, depth, floors = rng.uniform(30, 90), rng.uniform(20, 90), int(rng.integers(2, 5))
    density = 250_000 / (width * depth * floors * 3)
    gap = rng.uniform(2.9, 3.9)
    levels = [
        storey(width, depth, gap - 0.3, rng.uniform(5, 9), density, rng, rooms) + (0, 0, gap * k)
        for k in range(floors)
    ]
    pos = np.concatenate(levels)
    pos = pos - (pos.mean(axis=0) * (1, 1, 0) if rng.random() < 0.5 else 0)
    return as_file("building", turn(pos, rng) + origin(rng), rng)


def building_unit_axis(rng: np.random.Generator, rooms: range) -> GuessCase:
    case = building(rng, rooms)
    return as_file("building, any unit and axis", case.pos, rng, units=UNITS, ups=("z", "y", "-y"))


def tower(rng: np.random.Generator, rooms: range) -> GuessCase:
    pos, size = some_room(rng, rooms)
    gap = max(size[2] + 0.25, rng.uniform(2.9, 3.6))
    floors = int(rng.integers(2, 16))
    pos = pos[rng.permutation(len(pos))[: 300_000 // floors]]
    return as_file(
        "storeys", np.concatenate([pos + (0, 0, gap * k) for k in range(floors)]) + origin(rng), rng
    )


def corridor(rng: np.random.Generator, rooms: range) -> GuessCase:
    length, width, height = rng.choice([40, 100, 300, 1000]), rng.uniform(1.6, 3.5), rng.uniform(2.3, 3.2)
    density = 200_000 / (length * (2 * width + 2 * height))
    parts = [plate((length, width), 0, density, rng), plate((length, width), height, density, rng)]
    for y in (0.0, width):
        parts.append(wall(np.array([0.0, y]), np.array([float(length), y]), 0, height, density, rng))
    for _ in range(int(length / 10)):
        x = rng.uniform(1, length - 2)
        parts.append(wall(np.array([x, 0.25]), np.array([x + 1.2, 0.25]), 0, 1.1, density, rng))
        parts.append(plate((1.2, 0.25), 1.1, density, rng) + (x, 0, 0))
    pos = np.concatenate(parts) + rng.normal(0, 0.004, (sum(map(len, parts)), 3))
    return as_file("corridor of 40 to 1000 m", turn(pos, rng) + origin(rng), rng)


def corridor_unit_axis(rng: np.random.Generator, rooms: range) -> GuessCase:
    return as_file(
        "corridor, any unit and axis", corridor(rng, rooms).pos, rng, units=UNITS, ups=("z", "y", "-y")
    )


def atrium(rng: np.random.Generator, rooms: range) -> GuessCase:
    width, depth, height = rng.uniform(15, 90), rng.uniform(15, 60), rng.uniform(31, 101)
    density = 200_000 / (2 * width * depth + 2 * (width + depth) * height)
    parts = [plate((width, depth), 0, density, rng), plate((width, depth), height, density, rng)]
    corners = np.array([[0, 0], [width, 0], [width, depth], [0, depth], [0, 0]])
    for a, b in zip(corners, corners[1:]):
        parts.append(wall(a, b, 0, height, density, rng))
    if rng.random() < 0.6:  # galleries
        for level in np.arange(rng.uniform(4, 6), height - 2, rng.uniform(3.3, 4.5)):
            parts += [plate((width, 2.5), level, density, rng), plate((2.5, depth), level, density, rng)]
    for _ in range(20):
        parts.append(
            furniture(rng, rooms, max(density, 20))
            + (rng.uniform(3, width - 3), rng.uniform(3, depth - 3), 0)
        )
    return as_file("atrium of 31 to 101 m", turn(np.concatenate(parts), rng) + origin(rng), rng)


def view(rng: np.random.Generator, rooms: range, *, kind: str) -> GuessCase:
    """Return one depth image, in the axes of the camera or with z up."""
    number = int(rng.choice(rooms))
    model = build_room(number, list(SHARES)[number % len(SHARES)])
    eye = choose_stations(model, rng)[int(rng.integers(3))]
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    width, focal = 300, rng.uniform(230, 290)
    v, u = np.mgrid[0:225, 0:width]
    rays = np.stack([(u - 149.5) / focal, (v - 112) / focal, np.ones(u.shape)], axis=-1).reshape(-1, 3)
    for yaw in rng.uniform(
        0, 2 * np.pi, 6
    ):  # the view with the most distant middle: cameras look into a room
        pitch = np.radians(rng.uniform(-35, 8))
        forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
        right = np.array([np.sin(yaw), -np.cos(yaw), 0])
        axes = np.stack([right, np.cross(forward, right), forward])
        depth = model.cast(eye, (rays @ axes).astype(np.float32), threads=1).distance
        middle = float(np.median(np.where(np.isfinite(depth), depth, 0)))
        if best is None or middle > best[0]:
            best = middle, depth, axes
    assert best is not None
    _, depth, axes = best
    depth = depth * (1 + rng.normal(0, 0.002, depth.shape) * depth)
    seen = np.isfinite(depth) & (rng.random(depth.shape) < rng.choice([1.0, 0.7]))
    pos = rays[seen] * depth[seen, None]
    if rng.random() < 0.3:
        pos = thin(pos, 0.02)
    unit = str(rng.choice(["m", "mm"]))
    if kind == "camera":
        pos, up = (pos, "-y") if rng.random() < 0.5 else (pos * (1, -1, -1), "y")
        return GuessCase(family="camera view", pos=pos / METERS[unit], unit=unit, up=up, view=True)
    pos = pos @ axes + (eye if rng.random() < 0.5 else 0)
    return GuessCase(family="view with z up", pos=pos / METERS[unit], unit=unit)


def fragment(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Cut a piece of 1.5 to 4 m from a room."""
    pos, _ = some_room(rng, rooms)
    center = pos[rng.integers(len(pos))]
    piece = pos[(np.abs(pos[:, :2] - center[:2]) < rng.uniform(0.75, 2)).all(axis=1)]
    offset = origin(rng) - (piece.mean(axis=0) * (1, 1, 0) if rng.random() < 0.5 else 0)
    return as_file("fragment", piece + offset, rng)


def fragment_unit_axis(rng: np.random.Generator, rooms: range) -> GuessCase:
    return as_file(
        "fragment, any unit and axis", fragment(rng, rooms).pos, rng, units=UNITS, ups=("z", "y", "-y")
    )


def lower_part(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Cut a room at 0.8 to 1.5 m."""
    pos, _ = some_room(rng, rooms)
    pos = pos[pos[:, 2] < rng.uniform(0.8, 1.5)]
    return as_file("lower part of a room, any unit", pos + origin(rng), rng, units=UNITS)


def table(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Keep the surroundings of furniture: a table, a shelf or a few chairs, sometimes with the floor."""
    pos, size = some_room(rng, rooms)
    inside = pos[(pos[:, 2] > (0.1 if rng.random() < 0.5 else -1)) & (pos[:, 2] < 1.3)]
    middle = inside[(np.abs(inside[:, 2] - 0.72) < 0.08)]
    center = (middle if len(middle) else inside)[rng.integers(max(1, len(middle)))]
    piece = inside[np.linalg.norm(inside[:, :2] - center[:2], axis=1) < rng.uniform(0.6, 1.3)]
    offset = origin(rng) - (piece.mean(axis=0) * (1, 1, 0) if rng.random() < 0.7 else 0)
    return as_file("table or desk", piece + offset, rng)


def table_unit_axis(rng: np.random.Generator, rooms: range) -> GuessCase:
    return as_file(
        "table or desk, any unit and axis", table(rng, rooms).pos, rng, units=UNITS, ups=("z", "y", "-y")
    )


def rounded_map(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Store map coordinates as float32, in steps of 0.03 to 0.5 m."""
    pos, _ = some_room(rng, rooms)
    if rng.random() < 0.5:
        pos = building(rng, rooms).pos
        pos = pos - np.median(pos, axis=0)
    offset = np.array([rng.uniform(3e5, 7e5), rng.uniform(4e6, 6e6), rng.uniform(0, 500)])
    return as_file("map coordinates as float32", (pos + offset).astype(np.float32), rng)


def fused(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Imitate depth fusion: no ceiling, holes, noise and waves, an origin at the first camera."""
    pos, size = some_room(rng, rooms, noise=False)
    pos = pos[pos[:, 2] < rng.uniform(1.6, 2.4)]
    holes = pos[rng.integers(0, len(pos), 12)]
    kept = np.ones(len(pos), bool)
    for hole in holes:
        kept &= np.linalg.norm(pos - hole, axis=1) > rng.uniform(0.2, 0.6)
    pos = pos[kept]
    wave = rng.normal(0, 0.006, pos.shape) + 0.01 * np.sin(pos[:, [1, 2, 0]] * rng.uniform(2, 6))
    tilt = np.radians(rng.normal(0, 1.5, 2))
    pos = (pos + wave) @ np.array([[1, 0, tilt[0]], [0, 1, tilt[1]], [-tilt[0], -tilt[1], 1]])
    return as_file("depth fusion", pos + (0, 0, rng.choice([0.0, -1.4, rng.uniform(1, 4)])), rng)


def fused_axis(rng: np.random.Generator, rooms: range) -> GuessCase:
    return as_file(
        "depth fusion, any unit and axis", fused(rng, rooms).pos, rng, units=UNITS, ups=("y", "-y")
    )


def stated(rng: np.random.Generator, rooms: range) -> GuessCase:
    """A file that states its unit, such as LAS."""
    case = as_file("file states its unit", some_room(rng, rooms)[0] + origin(rng), rng, units=("m", "ft"))
    return replace(case, file_unit=case.unit)


def ground(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Open terrain with a few blocks."""
    size = rng.uniform(20, 300)
    xy = rng.uniform(-size / 2, size / 2, (60_000, 2))
    z = 0.04 * size * np.sin(xy[:, 0] / size * 5) * np.cos(xy[:, 1] / size * 4) + rng.normal(0, 0.05, len(xy))
    for _ in range(5):
        block = (np.abs(xy - rng.uniform(-size / 2, size / 2, 2)) < rng.uniform(2, size / 10)).all(axis=1)
        z[block] += rng.uniform(3, 12)
    return as_file("open terrain", np.column_stack([xy, z]) + origin(rng), rng)


def round_room(rng: np.random.Generator, rooms: range) -> GuessCase:
    """A round hall with columns and furniture."""
    radius, height = rng.uniform(2.5, 8), rng.uniform(2.5, 4.2)
    r, angle = radius * np.sqrt(rng.uniform(0, 1, 40_000)), rng.uniform(0, 2 * np.pi, 40_000)
    disk = np.column_stack([r * np.cos(angle), r * np.sin(angle)])
    around = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), rng.uniform(0, height, 40_000)])
    parts = [
        np.column_stack([disk[:20_000], np.zeros(20_000)]),
        np.column_stack([disk[20_000:], np.full(20_000, height)]),
    ]
    parts += [around, furniture(rng, rooms, 400)]
    pos = np.concatenate(parts) + rng.normal(0, 0.003, (80_000 + len(parts[-1]), 3))
    return as_file("round hall", pos + origin(rng), rng, units=("m", "cm", "mm"), ups=("z", "y"))


def lecture_hall(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Rising rows of seats."""
    width, rows, rise = rng.uniform(8, 16), int(rng.integers(6, 14)), rng.uniform(0.12, 0.25)
    height = rows * rise + rng.uniform(2.8, 4)
    parts = [plate((width, rows * 0.95 + 3), height, 150, rng), plate((width, 3), 0, 150, rng)]
    for k in range(rows):
        y = 3 + 0.95 * k
        parts.append(plate((width, 0.95), rise * (k + 1), 150, rng) + (0, y, 0))
        parts.append(plate((width, 0.35), rise * (k + 1) + 0.74, 200, rng) + (0, y, 0))
        parts.append(plate((width, 0.4), rise * (k + 1) + 0.45, 200, rng) + (0, y + 0.5, 0))
    corners = np.array([[0, 0], [width, 0], [width, rows * 0.95 + 3], [0, rows * 0.95 + 3], [0, 0]])
    parts += [wall(a, b, 0, height, 150, rng) for a, b in zip(corners, corners[1:])]
    return as_file(
        "lecture hall", turn(np.concatenate(parts), rng) + origin(rng), rng, units=("m", "mm"), ups=("z", "y")
    )


def warehouse(rng: np.random.Generator, rooms: range) -> GuessCase:
    """A hall of 7 to 14 m with racks: their boards are where tables of a room in feet would be."""
    width, depth, height = rng.uniform(15, 60), rng.uniform(12, 40), rng.uniform(7, 14)
    density = 250_000 / (width * depth * 6)
    parts = [plate((width, depth), 0, density, rng), plate((width, depth), height, density, rng)]
    corners = np.array([[0, 0], [width, 0], [width, depth], [0, depth], [0, 0]])
    parts += [wall(a, b, 0, height, density, rng) for a, b in zip(corners, corners[1:])]
    for y in np.arange(2, depth - 2, rng.uniform(3, 5)):
        for level in np.arange(rng.uniform(0.1, 2.4), height - 2, rng.uniform(1.2, 2.4)):
            parts.append(plate((width - 4, 1.1), level, 3 * density, rng) + (2, y, 0))
    return as_file("warehouse", turn(np.concatenate(parts), rng) + origin(rng), rng)


def stairs(rng: np.random.Generator, rooms: range) -> GuessCase:
    """A stairwell over several storeys."""
    floors, gap = int(rng.integers(2, 8)), rng.uniform(2.8, 3.6)
    corners = np.array([[0, 0], [2.6, 0], [2.6, 5], [0, 5], [0, 0]])
    parts = [wall(a, b, 0, floors * gap, 400, rng) for a, b in zip(corners, corners[1:])]
    for floor in range(floors):
        parts.append(plate((2.6, 1.2), floor * gap, 400, rng))
        parts.append(plate((2.6, 1.2), (floor + 0.5) * gap, 400, rng) + (0, 3.8, 0))
        for k in range(9):
            parts.append(plate((1.2, 0.29), (floor + (k + 1) / 20) * gap, 400, rng) + (0, 1.2 + 0.29 * k, 0))
            parts.append(
                plate((1.2, 0.29), (floor + (k + 11) / 20) * gap, 400, rng) + (1.4, 3.5 - 0.29 * k, 0)
            )
    return as_file("stairwell", turn(np.concatenate(parts), rng) + origin(rng), rng, ups=("z", "y"))


def attic(rng: np.random.Generator, rooms: range) -> GuessCase:
    """A furnished room below a pitched roof."""
    width, depth, ridge = rng.uniform(4, 8), rng.uniform(4, 10), rng.uniform(2.4, 3.6)
    low = rng.uniform(0.6, 1.4)
    roof = plate((width, depth), 0, 500, rng)
    roof[:, 2] = low + (ridge - low) * (1 - np.abs(2 * roof[:, 0] / width - 1))
    parts = [plate((width, depth), 0, 300, rng), roof, furniture(rng, rooms, 400) + (width / 2, depth / 2, 0)]
    corners = np.array([[0, 0], [width, 0], [width, depth], [0, depth], [0, 0]])
    parts += [wall(a, b, 0, low, 300, rng) for a, b in zip(corners, corners[1:])]
    return as_file(
        "attic", turn(np.concatenate(parts), rng) + origin(rng), rng, units=("m", "cm"), ups=("z", "y")
    )


def car_park(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Low decks with columns and boxes of the size of cars."""
    width, depth, gap = rng.uniform(30, 80), rng.uniform(16, 40), rng.uniform(2.5, 3.0)
    floors = int(rng.integers(1, 4))
    density = 250_000 / (width * depth * (2 * floors + 1))
    parts = []
    for k in range(floors):
        parts += [
            plate((width, depth), k * gap, density, rng),
            plate((width, depth), k * gap + gap - 0.3, density, rng),
        ]
        for _ in range(20):
            at = (rng.uniform(0, width - 5), rng.uniform(0, depth - 2), k * gap)
            parts.append(plate((4.4, 1.8), 1.45, 2 * density, rng) + at)
            parts.append(wall(np.zeros(2), np.array([4.4, 0]), 0.2, 1.4, 2 * density, rng) + at)
            parts.append(wall(np.zeros(2), np.array([0, 1.8]), 0.2, 1.4, 2 * density, rng) + at)
    return as_file("car park", turn(np.concatenate(parts), rng) + origin(rng), rng, units=("m", "mm"))


FAMILIES: tuple[Maker, ...] = (
    room, open_room, room_unit, room_axis, room_unit_axis, open_room_unit_axis, tower, building, building_unit_axis,
    corridor, corridor_unit_axis, atrium, partial(view, kind="camera"), partial(view, kind="world"), fragment,
    fragment_unit_axis, lower_part, table, table_unit_axis, rounded_map, fused, fused_axis, stated, ground,
)  # fmt: skip

UNSEEN: tuple[Maker, ...] = (round_room, lecture_hall, warehouse, stairs, attic, car_park)
"""Kinds of clouds that the limits of the guesses were not chosen with."""


def make_cases(*, seed: int, each: int, families: tuple[Maker, ...], rooms: range) -> Iterator[GuessCase]:
    """Yield ``each`` cases of every family, from the generated rooms with the numbers ``rooms``."""
    for number, make in enumerate(families):
        for k in range(each):
            yield make(np.random.default_rng([seed, number, k]), rooms)
