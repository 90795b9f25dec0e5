"""Floor, walls, ceiling with lamps, beams and columns, windows with their covers, doors and stairs of one room."""

from dataclasses import dataclass, replace

import numpy as np

from data_prep.indoor.fittings import folds
from data_prep.indoor.furniture import Style
from data_prep.synthetic import openings, palette, textures
from data_prep.synthetic.floorplan import SIDES, Floorplan
from data_prep.synthetic.model import Item, Pose, Surface
from data_prep.synthetic.shapes import box, cylinder, panel
from data_prep.synthetic.shell import lamp_positions, wall_item
from data_prep.synthetic.textures import Material

THICK = 0.24
"""Thickness of walls in meters; two rooms that share one show half of it in their holes."""


@dataclass(frozen=True)
class Door:
    """A door: ``side`` of the room, middle ``along`` it, sill ``z``, ``width``; ``swing`` of its leaf or no leaf."""

    side: int
    along: float
    width: float
    swing: float | None
    z: float = 0.0


DOOR_HEIGHT = 2.05


def cut_door(plan: Floorplan, style: Style, door: Door) -> None:
    """Cut the hole of a door, keep the way to it free, and hang its leaf."""
    a, b = door.along - door.width / 2, door.along + door.width / 2
    hole = (a, b, door.z, door.z + DOOR_HEIGHT)
    plan.holes[door.side].append(hole)
    plan.taken[door.side].append((a - 0.08, b + 0.08, door.z, hole[3] + 0.08))
    if door.z == 0:
        way = plan.on_wall(door.side, door.along, 0.5)
        x, y = (door.width / 2, 0.48) if door.side % 2 == 0 else (0.48, door.width / 2)
        plan.ways.append((way.x - x, way.x + x, way.y - y, way.y + y))
    sill = Item("floor").add(style.look.floor, box((door.width, THICK, 0.004), (0, -THICK / 2, 0)))
    plan.put(sill, plan.on_wall(door.side, door.along, 0, door.z))
    if door.swing is not None:
        leaf = openings.door_leaf(plan.rng, style.look, door.width, DOOR_HEIGHT, swing=door.swing)
        plan.put(leaf, plan.on_wall(door.side, door.along, 0, door.z))


def add_windows(plan: Floorplan, style: Style) -> None:
    """Add windows from 0.1 to 2.85 m of one kind: bare, behind blinds that are flush with the wall, or curtains."""
    rng, look = plan.rng, style.look
    sill = rng.uniform(0.55, 1.05) if rng.random() < 0.8 else 0.08
    top = min(rng.uniform(1.9, 2.85), plan.size[2] - 0.12)
    wide, glow = rng.uniform(0.8, 2.4), rng.choice([0.0, rng.uniform(0.6, 1.8)], p=[0.25, 0.75])
    cover, dropout = rng.choice(["none", "blinds", "curtain"], p=[0.5, 0.25, 0.25]), rng.uniform(0.3, 0.97)
    for side in plan.outer:
        length = plan.length(side)
        number = max(1, int((length - 0.4) // (wide + 0.3)))
        pane = min(wide, length - 0.5)
        for along in (np.arange(number) + 0.5) * length / number:
            hole = (along - pane / 2, along + pane / 2, sill, top)
            if not plan.is_bare(side, (hole[0] - 0.05, hole[1] + 0.05, sill, top)):
                continue
            window = openings.window_pane(rng, look, pane, top - sill, "none", int(rng.integers(1, 4)))
            window.surfaces = [_pane(part, glow, dropout) for part in window.surfaces]
            plan.put(window, plan.on_wall(side, along, 0, sill))
            plan.holes[side].append(hole)
            plan.taken[side].append((*hole[:2], 0.0 if cover == "curtain" else sill, top))
            if cover == "blinds" and rng.random() < 0.85:
                _add_blinds(plan, style, side, along, (pane, sill, top))
            elif cover == "curtain":
                _add_curtains(plan, side, along, (pane, sill, top))
            if sill > 0.5 and rng.random() < 0.5:
                _add_radiator(plan, side, along, pane * 0.8, sill - 0.12)


def _pane(part: Surface, glow: float, dropout: float) -> Surface:
    """Return a part of a window; a pane gets its light and its share of lost returns."""
    if part.material.texture is not textures.sky:
        return part
    return replace(part, material=replace(part.material, glow=glow, dropout=dropout))


def _add_blinds(plan: Floorplan, style: Style, side: int, along: float, opening: tuple[float, ...]) -> None:
    (pane, sill, top), rng = opening, plan.rng
    color = palette.pick(rng, [style.look.wall.color, (0.85, 0.85, 0.83), (0.6, 0.6, 0.6)], 0.05)
    dark = tuple(0.6 * value for value in color)
    cloth = Material(
        texture=textures.slats if rng.random() < 0.5 else textures.fabric,
        color=color, accent=dark, scale=0.05, glow=rng.uniform(0, 0.4),
    )  # fmt: skip
    tall = (top - sill) * (1.0 if rng.random() < 0.6 else rng.uniform(0.3, 0.9))
    item = Item("blinds").add(cloth, box((pane - 0.01, 0.01, tall), (0, 0, 0)))
    plan.put(item, plan.on_wall(side, along, rng.uniform(-0.03, 0.03), top - tall))


def _add_curtains(plan: Floorplan, side: int, along: float, opening: tuple[float, ...]) -> None:
    (pane, sill, top), rng = opening, plan.rng
    color = palette.pick(rng, [(0.8, 0.78, 0.72), *palette.CLOTHS], 0.2)
    cloth = Material(texture=textures.fabric, color=color, accent=palette.jitter(rng, color, 0.3))
    low = 0.03 if rng.random() < 0.6 else max(0.05, sill - 0.15)
    wide = pane * rng.choice([0.25, 0.35, 0.52])
    rail = min(top + 0.1, plan.size[2] - 0.03)
    for hand in (-1, 1):
        spot = along + hand * (pane / 2 + 0.1 - wide / 2)
        if wide / 2 < spot < plan.length(side) - wide / 2:
            item = Item("curtain").add(cloth, folds(rng, wide, rail - low))
            plan.put(item, plan.on_wall(side, spot, 0.1, low))


def _add_radiator(plan: Floorplan, side: int, along: float, width: float, height: float) -> None:
    ribs = Material(texture=textures.slats, color=(0.85, 0.85, 0.83), accent=(0.5, 0.5, 0.5), scale=0.07)
    if plan.is_bare(side, (along - width / 2, along + width / 2, 0.0, height)):
        item = Item("radiator").add(ribs, box((width, 0.08, height - 0.12), (0, 0, 0.12)))
        plan.put(item, plan.on_wall(side, along, 0.07), margin=0.0)


def add_structure(plan: Floorplan, style: Style) -> None:
    """Add beams across the room and columns, in the color of the wall, of the ceiling, or of concrete."""
    rng, (width, depth, height) = plan.rng, plan.size
    paint = [style.look.wall, style.look.ceiling, style.look.column][rng.integers(3)]
    across = width < depth
    span, run = (width, depth) if across else (depth, width)
    for k in range(int(rng.integers(0, 1 + round(run / 2.5)))):
        wide, drop = rng.uniform(0.15, 0.45), rng.uniform(0.12, 0.45)
        place = run * (k + rng.uniform(0.3, 0.7)) / round(run / 2.5)
        size, middle = ((span, wide), (width / 2, place)) if across else ((wide, span), (place, depth / 2))
        plan.put(Item("beam").add(paint, box((*size, drop))), Pose(*middle, height - drop))
    for _ in range(int(rng.integers(-2, 3))):
        size = rng.uniform(0.2, 0.5)
        mesh = box((size, size, height)) if rng.random() < 0.7 else cylinder(size / 2, height)
        item = Item("column").add(paint, mesh)
        if rng.random() < 0.7:
            plan.against_wall(item, front=0.0, gap=0.0)
        else:
            plan.inside(item, margin=0.6)


def add_shell(plan: Floorplan, style: Style) -> np.ndarray:
    """Add floor, ceiling, walls and ceiling lamps; return the positions of the lamps ``(l, 3)``."""
    look, rng, (width, depth, height) = style.look, plan.rng, plan.size
    flat = panel(width, depth).turned(-np.pi / 2, 0)
    plan.put(Item("floor").add(look.floor, flat), Pose())
    plan.put(Item("ceiling").add(look.ceiling, flat), Pose(z=height))
    skirting = rng.random() < 0.6
    accent = int(rng.integers(-4, 4))
    for side in SIDES:
        skin = replace(look, wall=look.white) if side == accent else look
        plan.put(wall_item(plan, skin, side, skirting, reveal=THICK / 2), plan.on_wall(side, 0))
    lamps = lamp_positions(plan.size)
    bright = Material(
        texture=textures.paint, color=(1.0, 1.0, 0.97), glow=rng.choice([0.0, rng.uniform(0.5, 2)])
    )
    forms = (box((0.58, 0.58, 0.02), (0, 0, -0.02)), box((1.2, 0.25, 0.07), (0, 0, -0.07)),
             cylinder(rng.uniform(0.08, 0.22), 0.08, (0, 0, -0.08)))  # fmt: skip
    form = forms[rng.integers(3)]
    drops = [height - pose.z for item, pose in plan.items if item.label == "beam"]
    low = height - max(drops, default=0.0)
    for lamp in lamps:
        plan.put(Item("lamp").add(bright, form), Pose(lamp[0], lamp[1], height))
        lamp[2] = min(height, low) - 0.15
    return lamps


def add_stairs(plan: Floorplan, style: Style, level: float) -> None:
    """Add a flight along the far side of x from the end of the room up to a landing at ``level`` above the door."""
    rng, (width, depth, _) = plan.rng, plan.size
    stone = [style.look.wood, style.look.column, style.look.floor][rng.integers(3)]
    wide, landing = min(1.15, width / 2), 1.2
    number = int(np.ceil(level / 0.185))
    rise, run = level / number, (depth - landing - 0.9) / (number - 1)
    stairs = Item("stairs")
    for k in range(number - 1):  # from below at large y to above at small y
        y = depth - 0.9 - (k + 0.5) * run
        stairs.add(stone, box((wide, run, rise), (width - wide / 2, y, k * rise)))
        if k > 1:  # a slab below the steps
            stairs.add(stone, box((wide, run, rise), (width - wide / 2, y, (k - 1) * rise)))
    plan.put(stairs, Pose())
    plan.footprints.append(((width - wide, width, landing, depth - 0.9), level))
    slab = box((width, landing, 0.18), (width / 2, landing / 2, level - 0.18))
    plan.put(Item("floor").add(style.look.floor, slab), Pose())
    rail, steel = Item("railing"), style.look.steel
    for x in np.arange(0.05, width - wide, 0.14):
        rail.add(steel, cylinder(0.01, 0.95, (x, landing, level), 6))
    for k in range(number - 1):
        y = depth - 0.9 - (k + 0.5) * run
        rail.add(steel, cylinder(0.01, 0.9, (width - wide, y, (k + 1) * rise), 6))
        rail.add(steel, box((0.05, run, rise * 1.1), (width - wide, y, (k + 1) * rise + 0.9)))
    bar = box((width - wide, 0.05, 0.05), ((width - wide) / 2, landing, level + 0.95))
    plan.put(rail.add(steel, bar), Pose())
