"""Doors and windows."""

import numpy as np

from data_prep.synthetic import palette, textures
from data_prep.synthetic.floorplan import Floorplan, footprint
from data_prep.synthetic.model import Item
from data_prep.synthetic.palette import Palette
from data_prep.synthetic.shapes import Mesh, box, cylinder, join
from data_prep.synthetic.textures import Material


def frame(width: float, height: float, thick: float = 0.05, deep: float = 0.03) -> Mesh:
    """Make a rectangular frame standing on z = 0 around the origin, its back at y = 0."""
    at = (width - thick) / 2
    posts = [box((thick, deep, height), (x, deep / 2, 0)) for x in (-at, at)]
    rails = [box((width - 2 * thick, deep, thick), (0, deep / 2, z)) for z in (0, height - thick)]
    return join(posts + rails)


def add_door(plan: Floorplan, look: Palette, side: int) -> None:
    """Add a single or double door, closed or open; the floor in front of it stays free."""
    rng = plan.rng
    double = rng.random() < 0.2 and plan.length(side) > 2.4
    width = rng.uniform(1.5, 1.8) if double else rng.uniform(0.85, 1.0)
    height = rng.uniform(2.0, 2.15)
    if plan.length(side) < width + 0.4:
        return
    for _ in range(20):
        along = float(rng.uniform(width / 2 + 0.15, plan.length(side) - width / 2 - 0.15))
        hole = (along - width / 2, along + width / 2, 0.0, height)
        way = footprint((width + 0.1, 1.0), plan.on_wall(side, along, 0.52), 0.0)
        if plan.is_bare(side, (hole[0] - 0.12, hole[1] + 0.12, 0.0, height + 0.1)) and plan.is_free(way):
            break
    else:
        return
    plan.ways.append(way)
    plan.taken[side].append((hole[0] - 0.06, hole[1] + 0.06, 0.0, height + 0.06))
    plan.holes[side].append(hole)
    plan.put(door_leaf(rng, look, width, height, 2 if double else 1), plan.on_wall(side, along))


def door_leaf(
    rng: np.random.Generator,
    look: Palette,
    width: float,
    height: float,
    leaves: int = 1,
    *,
    swing: float | None = None,
) -> Item:
    """Make a door with its frame; ``swing`` opens the first leaf by an angle in radians, ``None`` draws it."""
    kind = rng.choice(4, p=[0.5, 0.2, 0.2, 0.1])
    painted = Material(texture=textures.metal, color=palette.pick(rng, palette.DOORS))
    leaf = [look.wood, look.white, painted, glass(rng)][kind]
    recess = rng.choice([0.0, 0.04, 0.1])
    around = [look.trim, look.white, leaf][rng.choice(3, p=[0.6, 0.2, 0.2])] if kind != 3 else look.trim
    door = Item("door")
    jamb = frame(width + 0.1, height + 0.05 + 0.1, 0.05, 0.02).moved((0, 0, -0.1))
    door.add(around, jamb)
    is_open = kind != 3 and rng.random() < 0.3
    for k in range(leaves):
        wide = width / leaves
        board = box((wide - 0.01, 0.045, height - 0.015), (wide / 2, -0.022, 0.01))
        parts = [(leaf, board), (look.steel, _handle(wide - 0.09, rng))]
        if kind == 0 and rng.random() < 0.3:
            parts.append((glass(rng), box((wide * 0.35, 0.01, 0.8), (wide / 2, 0.002, 1.1))))
        if kind == 3:
            parts.append((look.trim, frame(wide, height, 0.07, 0.03).moved((wide / 2, -0.01, 0))))
        turn = rng.uniform(0.4, 1.5) if is_open and k == 0 else 0.0
        turn = turn if swing is None or k else swing
        # hinges of the last leaf are on the other side
        mirror = -1.0 if k == 1 else 1.0
        for material, mesh in parts:
            mesh = mesh.turned(turn).moved((-width / 2, -recess, 0)) if k == 0 else mesh
            mesh = mesh if k == 0 else mesh.scaled((mirror, 1, 1)).moved((width / 2, -recess, 0))
            door.add(material, mesh)
    return door


def _handle(at: float, rng: np.random.Generator) -> Mesh:
    if rng.random() < 0.5:
        return box((0.12, 0.05, 0.02), (at - 0.03, 0.02, 1.03))
    return join([cylinder(0.03, 0.06, (at, 0.03, 1.0), 10), box((0.05, 0.01, 0.2), (at, 0.005, 0.9))])


def glass(rng: np.random.Generator) -> Material:
    """Make a pane: sky above, dark trees or houses below, and many lost returns."""
    bright = palette.jitter(rng, (0.6, 0.78, 0.98))
    return Material(
        texture=textures.sky, color=bright, accent=palette.jitter(rng, (0.28, 0.38, 0.34), 0.3), dropout=0.4
    )


def add_windows(plan: Floorplan, look: Palette) -> None:
    """Add windows of one kind along the outer walls, in some rooms with radiators below."""
    rng = plan.rng
    sill, top = rng.uniform(0.78, 1.0), min(rng.uniform(1.95, 2.4), plan.size[2] - 0.25)
    if rng.random() < 0.12:
        sill = 0.08
    wide, bars = rng.uniform(1.0, 2.3), int(rng.integers(1, 4))
    cover = rng.choice(["none", "slats", "blind"], p=[0.65, 0.2, 0.15])
    heated = sill > 0.5 and rng.random() < 0.4
    for side in plan.outer:
        length = plan.length(side)
        number = max(1, int((length - 0.4) // (wide + 0.3)))
        pane = min(wide, length - 0.5)
        places = [(k + 0.5) * length / number for k in range(number)]
        # if columns or a shaft block all of them, one may fit elsewhere
        for along in [*places, *rng.uniform(pane / 2, length - pane / 2, 8)]:
            hole = (along - pane / 2, along + pane / 2, sill, top)
            if along not in places and plan.holes[side]:
                break
            if plan.is_bare(side, (hole[0] - 0.05, hole[1] + 0.05, sill, top)):
                kind = "none" if rng.random() < 0.1 else str(cover)
                window = window_pane(rng, look, pane, top - sill, kind, bars)
                plan.put(window, plan.on_wall(side, along, 0, sill))
                plan.holes[side].append(hole)
                plan.taken[side].append(hole)
                if heated:
                    _radiator(plan, look, side, along, pane * 0.8, sill - 0.15)


def window_pane(
    rng: np.random.Generator, look: Palette, width: float, height: float, cover: str, bars: int
) -> Item:
    """Make a window without cover (``none``), behind ``slats``, or behind a closed ``blind``."""
    window = Item("window")
    recess = {"none": rng.uniform(0.06, 0.22), "slats": rng.uniform(0.0, 0.1), "blind": 0.0}[cover]
    # a closed blind is white like the wall and framed like a board
    thick, deep = (0.025, 0.02) if cover == "blind" else (0.06, 0.05)
    window.add(look.trim, frame(width, height, thick, deep).moved((0, -recess, 0)))
    pane = box((width, 0.01, height), (0, 0.006 - recess, 0))
    if cover == "blind":
        return window.add(look.white, pane)
    if cover == "slats":
        color = look.white.color
        dark = tuple(0.55 * value for value in color)
        return window.add(Material(texture=textures.slats, color=color, accent=dark, scale=0.05), pane)
    window.add(glass(rng), pane)
    for k in range(1, bars):
        x = k * width / bars - width / 2
        window.add(look.trim, box((0.05, 0.05, height), (x, 0.025 - recess, 0)))
    if recess > 0.12:
        window.add(look.white, box((width, recess, 0.03), (0, 0.02 - recess / 2, 0)))
    return window


def _radiator(plan: Floorplan, look: Palette, side: int, along: float, width: float, height: float) -> None:
    ribs = Material(texture=textures.slats, color=(0.85, 0.85, 0.83), accent=(0.5, 0.5, 0.5), scale=0.07)
    body = box((width, 0.08, height - 0.12), (0, 0, 0.12))
    radiator = (
        Item("clutter").add(ribs, body).add(look.trim, cylinder(0.012, 0.14, (width / 2 - 0.05, 0, 0), 8))
    )
    if plan.is_bare(side, (along - width / 2, along + width / 2, 0.0, height)):
        plan.put(radiator, plan.on_wall(side, along, 0.06), margin=0.0)
        plan.taken[side].append((along - width / 2, along + width / 2, 0.0, 0.05))
