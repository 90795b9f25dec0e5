"""Clouds of many kinds with a known unit and up axis, made from scans of generated rooms."""
# ruff: noqa: RUF005 - arrays are added, not joined

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from benchmarks.building_clouds import (
    atrium,
    building,
    corridor,
    ground,
    rounded_map,
    tower,
)
from benchmarks.cloud_parts import (
    UNITS,
    GuessCase,
    as_file,
    cut_ceiling,
    origin,
    some_room,
    strays,
    thin,
)

from data_prep.synthetic.plan import SHARES
from data_prep.synthetic.room_types import build_room
from data_prep.synthetic.scanner import choose_stations
from pcseg.data.alignment import METERS, ROTATIONS

Maker = Callable[[np.random.Generator, range], GuessCase]


def any_frame(
    rng: np.random.Generator, rooms: range, *, make: Maker, ups: tuple[str, ...] = ("z", "y", "-y")
) -> GuessCase:
    """Make a cloud in any unit, with any of ``ups`` up."""
    case = make(rng, rooms)
    kind = case.family.partition(" of ")[0]
    return as_file(f"{kind}, any unit and axis", case.pos, rng, units=UNITS, ups=ups)


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


def view(rng: np.random.Generator, rooms: range, *, kind: str) -> GuessCase:
    """Return one depth image, in the axes of the camera or with z up."""
    number = int(rng.choice(rooms))
    model = build_room(number, list(SHARES)[number % len(SHARES)])
    eye = choose_stations(model, rng)[int(rng.integers(3))]
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    width, focal = 300, rng.uniform(230, 290)
    v, u = np.mgrid[0:225, 0:width]
    rays = np.stack([(u - 149.5) / focal, (v - 112) / focal, np.ones(u.shape)], axis=-1).reshape(-1, 3)
    for yaw in rng.uniform(0, 2 * np.pi, 6):  # keeps the most distant middle: cameras look into a room
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


def lower_part(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Cut a room at 0.8 to 1.5 m."""
    pos, _ = some_room(rng, rooms)
    pos = pos[pos[:, 2] < rng.uniform(0.8, 1.5)]
    return as_file("lower part of a room, any unit", pos + origin(rng), rng, units=UNITS)


def table(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Keep the surroundings of furniture: a table, a shelf or a few chairs, sometimes with the floor."""
    pos, _ = some_room(rng, rooms)
    inside = pos[(pos[:, 2] > (0.1 if rng.random() < 0.5 else -1)) & (pos[:, 2] < 1.3)]
    middle = inside[(np.abs(inside[:, 2] - 0.72) < 0.08)]
    center = (middle if len(middle) else inside)[rng.integers(max(1, len(middle)))]
    piece = inside[np.linalg.norm(inside[:, :2] - center[:2], axis=1) < rng.uniform(0.6, 1.3)]
    offset = origin(rng) - (piece.mean(axis=0) * (1, 1, 0) if rng.random() < 0.7 else 0)
    return as_file("table or desk", piece + offset, rng)


def fused(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Imitate depth fusion: no ceiling, holes, noise and waves, an origin at the first camera."""
    pos, _ = some_room(rng, rooms, noise=False)
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


def stated(rng: np.random.Generator, rooms: range) -> GuessCase:
    """Make a room whose file states its unit, as LAS does."""
    case = as_file("file states its unit", some_room(rng, rooms)[0] + origin(rng), rng, units=("m", "ft"))
    return replace(case, file_unit=case.unit)


FAMILIES: tuple[Maker, ...] = (
    room, open_room, room_unit, room_axis, room_unit_axis, open_room_unit_axis, tower, building,
    partial(any_frame, make=building), corridor, partial(any_frame, make=corridor), atrium,
    partial(view, kind="camera"), partial(view, kind="world"), fragment, partial(any_frame, make=fragment),
    lower_part, table, partial(any_frame, make=table), rounded_map, fused,
    partial(any_frame, make=fused, ups=("y", "-y")), stated, ground,
)  # fmt: skip
