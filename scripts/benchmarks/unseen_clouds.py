"""Kinds of clouds that the limits of the guesses were not chosen with."""
# ruff: noqa: RUF005 - arrays are added, not joined

import numpy as np
from benchmarks.cloud_parts import (
    GuessCase,
    as_file,
    furniture,
    origin,
    plate,
    turn,
    wall,
    walls,
)


def round_room(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Make a round hall with columns and furniture."""
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
    """Make rising rows of seats."""
    width, rows, rise = rng.uniform(8, 16), int(rng.integers(6, 14)), rng.uniform(0.12, 0.25)
    height = rows * rise + rng.uniform(2.8, 4)
    parts = [plate((width, rows * 0.95 + 3), height, 150, rng), plate((width, 3), 0, 150, rng)]
    for k in range(rows):
        y = 3 + 0.95 * k
        parts.append(plate((width, 0.95), rise * (k + 1), 150, rng) + (0, y, 0))
        parts.append(plate((width, 0.35), rise * (k + 1) + 0.74, 200, rng) + (0, y, 0))
        parts.append(plate((width, 0.4), rise * (k + 1) + 0.45, 200, rng) + (0, y + 0.5, 0))
    parts += walls((width, rows * 0.95 + 3), height, 150, rng)
    return as_file(
        "lecture hall", turn(np.concatenate(parts), rng) + origin(rng), rng, units=("m", "mm"), ups=("z", "y")
    )


def warehouse(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Make a hall of 7 to 14 m with racks: their boards are where tables of a room in feet would be."""
    width, depth, height = rng.uniform(15, 60), rng.uniform(12, 40), rng.uniform(7, 14)
    density = 250_000 / (width * depth * 6)
    parts = [plate((width, depth), 0, density, rng), plate((width, depth), height, density, rng)]
    parts += walls((width, depth), height, density, rng)
    for y in np.arange(2, depth - 2, rng.uniform(3, 5)):
        for level in np.arange(rng.uniform(0.1, 2.4), height - 2, rng.uniform(1.2, 2.4)):
            parts.append(plate((width - 4, 1.1), level, 3 * density, rng) + (2, y, 0))
    return as_file("warehouse", turn(np.concatenate(parts), rng) + origin(rng), rng)


def stairs(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Make a stairwell over several storeys."""
    floors, gap = int(rng.integers(2, 8)), rng.uniform(2.8, 3.6)
    parts = walls((2.6, 5), floors * gap, 400, rng)
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
    """Make a furnished room below a pitched roof."""
    width, depth, ridge = rng.uniform(4, 8), rng.uniform(4, 10), rng.uniform(2.4, 3.6)
    low = rng.uniform(0.6, 1.4)
    roof = plate((width, depth), 0, 500, rng)
    roof[:, 2] = low + (ridge - low) * (1 - np.abs(2 * roof[:, 0] / width - 1))
    parts = [plate((width, depth), 0, 300, rng), roof, furniture(rng, rooms, 400) + (width / 2, depth / 2, 0)]
    parts += walls((width, depth), low, 300, rng)
    return as_file(
        "attic", turn(np.concatenate(parts), rng) + origin(rng), rng, units=("m", "cm"), ups=("z", "y")
    )


def car_park(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Make low decks with columns and boxes of the size of cars."""
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


UNSEEN = (round_room, lecture_hall, warehouse, stairs, attic, car_park)
"""Kinds of clouds that the limits of the guesses were not chosen with."""
