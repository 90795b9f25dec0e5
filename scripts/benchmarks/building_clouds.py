"""Clouds of buildings, corridors, atria and terrain."""
# ruff: noqa: RUF005 - arrays are added, not joined

import numpy as np
from benchmarks.cloud_parts import (
    GuessCase,
    as_file,
    furniture,
    origin,
    plate,
    some_room,
    turn,
    wall,
    walls,
)


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
    """Make a building."""
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


def tower(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Make storeys of the same room."""
    pos, size = some_room(rng, rooms)
    gap = max(size[2] + 0.25, rng.uniform(2.9, 3.6))
    floors = int(rng.integers(2, 16))
    pos = pos[rng.permutation(len(pos))[: 300_000 // floors]]
    return as_file(
        "storeys", np.concatenate([pos + (0, 0, gap * k) for k in range(floors)]) + origin(rng), rng
    )


def corridor(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Make a corridor."""
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


def atrium(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Make an atrium."""
    width, depth, height = rng.uniform(15, 90), rng.uniform(15, 60), rng.uniform(31, 101)
    density = 200_000 / (2 * width * depth + 2 * (width + depth) * height)
    parts = [plate((width, depth), 0, density, rng), plate((width, depth), height, density, rng)]
    parts += walls((width, depth), height, density, rng)
    if rng.random() < 0.6:  # galleries
        for level in np.arange(rng.uniform(4, 6), height - 2, rng.uniform(3.3, 4.5)):
            parts += [plate((width, 2.5), level, density, rng), plate((2.5, depth), level, density, rng)]
    for _ in range(20):
        parts.append(
            furniture(rng, rooms, max(density, 20))
            + (rng.uniform(3, width - 3), rng.uniform(3, depth - 3), 0)
        )
    return as_file("atrium of 31 to 101 m", turn(np.concatenate(parts), rng) + origin(rng), rng)


def rounded_map(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Store map coordinates as float32, in steps of 0.03 to 0.5 m."""
    pos, _ = some_room(rng, rooms)
    if rng.random() < 0.5:
        pos = building(rng, rooms).pos
        pos = pos - np.median(pos, axis=0)
    offset = np.array([rng.uniform(3e5, 7e5), rng.uniform(4e6, 6e6), rng.uniform(0, 500)])
    return as_file("map coordinates as float32", (pos + offset).astype(np.float32), rng)


def ground(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Make open terrain with a few blocks."""
    size = rng.uniform(20, 300)
    xy = rng.uniform(-size / 2, size / 2, (60_000, 2))
    z = 0.04 * size * np.sin(xy[:, 0] / size * 5) * np.cos(xy[:, 1] / size * 4) + rng.normal(0, 0.05, len(xy))
    for _ in range(5):
        block = (np.abs(xy - rng.uniform(-size / 2, size / 2, 2)) < rng.uniform(2, size / 10)).all(axis=1)
        z[block] += rng.uniform(3, 12)
    return as_file("open terrain", np.column_stack([xy, z]) + origin(rng), rng)
