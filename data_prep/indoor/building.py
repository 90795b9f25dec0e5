"""Buildings: rooms along a corridor or one after another, joined by doors, on one or two storeys."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from data_prep.indoor.families import FAMILIES, Family
from data_prep.indoor.furnishing import furnish
from data_prep.indoor.furniture import FURNITURE, Style
from data_prep.indoor.materials import MATERIALS, draw_look
from data_prep.indoor.returns import Scene
from data_prep.indoor.shell import THICK, Door, add_shell, add_stairs, add_structure, add_windows, cut_door
from data_prep.synthetic.floorplan import SIDES, Floorplan
from data_prep.synthetic.model import Item, Pose, assemble
from data_prep.synthetic.palette import tiled

SLAB = 0.3
"""Meters between the ceiling of one storey and the floor of the next."""


@dataclass
class Room:
    """A room of a layout: its family, size and corner in meters, doors, outer sides; ``level`` of a stairs' landing."""

    family: str
    size: tuple[float, float, float]
    corner: tuple[float, float, float]
    outer: tuple[int, ...]
    doors: list[Door] = field(default_factory=list)
    level: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Names that a building may use, of :data:`FAMILIES`, :data:`FURNITURE` and :data:`MATERIALS`."""

    rooms: Sequence[str] = tuple(FAMILIES)
    furniture: Sequence[str] = tuple(FURNITURE)
    materials: Sequence[str] = tuple(MATERIALS)


def build(seed: int, choice: Choice, *, rooms: int = 1, storeys: int = 1) -> Scene:
    """Build about ``rooms`` rooms per storey; the same for the same arguments.

    Convention:
        Several storeys are joined by stairs, if ``choice`` has them, and otherwise by nothing.
    """
    rng = np.random.default_rng(seed)
    layout = _layout(rng, choice, rooms, storeys)
    items: list[tuple[Item, Pose]] = []
    lamps, colors, spots = [], [], []
    shared = str(rng.choice(list(choice.materials))), str(rng.choice(list(choice.furniture)))
    for room in layout:
        names = shared
        if rng.random() >= 0.6:
            names = str(rng.choice(list(choice.materials))), str(rng.choice(list(choice.furniture)))
        plan, light = _furnished(rng, room, *names)
        corner = np.array(room.corner)
        items += [(item, Pose(*(pose.position + corner), pose.yaw)) for item, pose in plan.items]
        spots.append(_free_spots(plan) + corner)
        lamps.append(light[0] + corner)
        colors.append(light[1])
    high = max(room.corner[2] + room.size[2] for room in layout)
    model = assemble(
        items,
        size=(*np.ptp(np.concatenate(spots), axis=0)[:2].tolist(), high),
        obstacles=np.zeros((1, 4)),
        lamps=np.concatenate(lamps),
        lamp_colors=np.concatenate(colors),
        seed=seed,
    )
    return Scene(model, spots, [room.corner[2] + room.size[2] for room in layout])


def _layout(rng: np.random.Generator, choice: Choice, number: int, storeys: int) -> list[Room]:
    names = [str(name) for name in rng.choice(list(choice.rooms), number)]
    height = float(rng.uniform(2.4, 3.1))
    if number == 1 and storeys == 1:
        family = FAMILIES[names[0]]
        long, short = _size(rng, family)
        high = float(rng.uniform(*family.high))
        room = Room(names[0], (long, short, high), (0.0, 0.0, 0.0), SIDES)
        if names[0] == "stairs":
            room.size, room.level = (short, long, 2 * high + SLAB), high + SLAB
        side = 0 if room.level else int(rng.integers(4))
        width = rng.uniform(0.8, 1.0)
        span = room.size[side % 2]
        end = max(span / 2, span - 1.2) if room.level else span - 0.15 - width / 2
        along = float(rng.uniform(0.15 + width / 2, end))
        swing = 0.0 if rng.random() < 0.6 else float(rng.uniform(0.4, 1.5))
        room.doors.append(Door(side, along, width, swing))
        room.outer = tuple(s for s in rng.permutation(SIDES).tolist()[: int(rng.integers(1, 3))] if s != side)
        return [room]
    with_corridor = storeys > 1 or (number > 2 and "corridor" in choice.rooms and rng.random() < 0.7)
    rooms: list[Room] = []
    wide = float(rng.uniform(1.4, 2.2))
    for storey in range(storeys):
        base = storey * (height + SLAB)
        if not with_corridor:
            return _chain(rng, names, height)
        stairs = storeys > 1 and "stairs" in choice.rooms
        level = (height + SLAB) if stairs and storey == 0 else 0.0
        rooms += _corridor(rng, [name for name in names if name not in ("corridor", "stairs")] or names,
                           (height, base, wide), level, reserved=stairs and storey > 0)  # fmt: skip
        names = [str(name) for name in rng.choice(list(choice.rooms), number)]
    return rooms


def _size(rng: np.random.Generator, family: Family) -> tuple[float, float]:
    short, long = rng.uniform(*family.short), rng.uniform(*family.long)
    return float(max(short, long)), float(min(short, long))


def _swing(rng: np.random.Generator) -> float | None:
    """Return the angle of a leaf between two rooms: mostly open, sometimes closed or without a leaf."""
    return [0.0, None, float(rng.uniform(0.7, 1.6))][rng.choice(3, p=[0.15, 0.25, 0.6])]


def _chain(rng: np.random.Generator, names: Sequence[str], height: float) -> list[Room]:
    """Place rooms side by side along x, with a door in each shared wall."""
    rooms, x = [], 0.0
    for k, name in enumerate(names):
        long, short = _size(rng, FAMILIES[name])
        size = (long, short, height) if rng.random() < 0.5 else (short, long, height)
        outer = (0, 2) if rng.random() < 0.5 else (int(rng.choice([0, 2])),)
        rooms.append(Room(name, size, (x, 0.0, 0.0), outer + ((1,) if k == len(names) - 1 else ())))
        x += size[0] + THICK
    for left, right in pairwise(rooms):
        width = float(rng.uniform(0.8, 1.1))
        y = float(rng.uniform(width / 2 + 0.15, min(left.size[1], right.size[1]) - width / 2 - 0.15))
        left.doors.append(Door(1, y, width, _swing(rng)))
        right.doors.append(Door(3, right.size[1] - y, width, None))
    return rooms


def _corridor(
    rng: np.random.Generator,
    names: Sequence[str],
    frame: tuple[float, float, float],
    level: float,
    *,
    reserved: bool,
) -> list[Room]:
    """Place rooms on both sides of a corridor; ``frame`` is (height, floor, width of the corridor).

    ``level`` above 0 starts the upper row with stairs to that level; ``reserved`` leaves their space free.
    """
    height, base, wide = frame
    corridor = Room("corridor", (0.0, wide, height), (0.0, 0.0, base), (3,))
    rooms, ends = [], [0.0, 0.0]
    if level or reserved:
        if level:
            size = (2.5, 5.6, 2 * height + SLAB)
            stairs = Room("stairs", size, (0.0, wide + THICK, base), (2,), level=level)
            stairs.doors += [Door(0, 0.7, 0.9, None), Door(0, 0.7, 0.9, None, z=level)]
            rooms.append(stairs)
        ends[0] = 2.5 + THICK
        corridor.doors.append(Door(2, -0.7, 0.9, _swing(rng)))
    for name in names:
        row = int(np.argmin(ends))
        long, short = _size(rng, FAMILIES[name])
        width, depth = (long, short) if rng.random() < 0.4 else (short, long)
        y = wide + THICK if row == 0 else -THICK - depth
        room = Room(name, (width, depth, height), (ends[row], y, base), ((2, 0)[row],))
        door = float(rng.uniform(0.8, 1.0))
        x = float(rng.uniform(door / 2 + 0.15, width - door / 2 - 0.15))
        here, there = ((0, x), (2, -(ends[0] + x))) if row == 0 else ((2, width - x), (0, ends[1] + x))
        room.doors.append(Door(*here, door, _swing(rng)))
        corridor.doors.append(Door(*there, door, None))
        ends[row] += width + THICK
        rooms.append(room)
    length = max(ends) - THICK
    corridor.size = (length, wide, height)
    # side 2 runs towards -x, from the end that is known only now
    corridor.doors = [
        Door(d.side, length + d.along, d.width, d.swing) if d.along < 0 else d for d in corridor.doors
    ]
    return [*rooms, corridor]


def _furnished(
    rng: np.random.Generator, room: Room, materials: str, builds: str
) -> tuple[Floorplan, tuple[np.ndarray, np.ndarray]]:
    """Return the plan of a furnished room, and positions and colors of its lights."""
    family = FAMILIES[room.family]
    style = Style(draw_look(rng, materials), FURNITURE[builds])
    if rng.random() < family.tiled:
        style = Style(tiled(style.look, rng), style.builds)
    plan = Floorplan(room.size, np.random.default_rng(rng.integers(2**63)))
    plan.outer = room.outer if rng.random() < family.windows else ()
    for door in room.doors:
        cut_door(plan, style, door)
    if room.level:
        add_stairs(plan, style, room.level)
    elif rng.random() < 0.4:
        add_structure(plan, style)
    add_windows(plan, style)
    furnish(plan, style, family.pieces)
    lamps = add_shell(plan, style)
    warm = np.array([1.0, 0.96, 0.88]) * rng.normal(1, 0.04, 3)
    bright = rng.choice([0.3, 1.0], p=[0.25, 0.75])
    colors = np.tile(warm * 1.9 / np.sqrt(len(lamps)), (len(lamps), 1)) * bright
    panes = [pose.then(0, 0.3, 0.8).position for item, pose in plan.items if item.label == "window"][:2]
    if panes:
        day = np.array([0.92, 0.98, 1.05]) * rng.uniform(0.3, 1.5) / len(panes)
        lamps, colors = np.vstack([lamps, panes]), np.vstack([colors, np.tile(day, (len(panes), 1))])
    return plan, (lamps, colors)


def _free_spots(plan: Floorplan) -> np.ndarray:
    """Return positions ``(n, 3)`` on free floor, where someone can stand."""
    width, depth, _ = plan.size
    spots = plan.rng.uniform([0.3, 0.3], [width - 0.3, depth - 0.3], (300, 2))
    free = np.ones(len(spots), bool)
    for (x0, x1, y0, y1), _ in plan.footprints:
        near = (spots > np.array([x0, y0]) - 0.2) & (spots < np.array([x1, y1]) + 0.2)
        free &= ~near.all(axis=1)
    spots = spots[free] if free.any() else spots[:1]
    return np.column_stack([spots, np.zeros(len(spots))])
