"""The room itself: floor, ceiling, walls with openings, doors, windows, boards, beams and columns."""

import dataclasses

import numpy as np

from data_prep.building import palette, textures
from data_prep.building.floorplan import SIDES, Floorplan
from data_prep.building.model import Pose, Thing
from data_prep.building.palette import Palette
from data_prep.building.shapes import Mesh, box, cylinder, join, panel
from data_prep.building.textures import Material

FRAME = 0.05


def frame(width: float, height: float, thick: float = FRAME, deep: float = 0.03) -> Mesh:
    """A rectangular frame standing on z = 0 about the origin, its back at y = 0."""
    posts = [
        box((thick, deep, height), (x, deep / 2, 0)) for x in (thick / 2 - width / 2, width / 2 - thick / 2)
    ]
    rails = [box((width - 2 * thick, deep, thick), (0, deep / 2, z)) for z in (0, height - thick)]
    return join(posts + rails)


def add_door(plan: Floorplan, look: Palette, side: int) -> bool:
    """A door in a wall; the floor before it stays free."""
    rng = plan.rng
    width, height = rng.uniform(0.85, 1.0), rng.uniform(2.0, 2.15)
    if rng.random() < 0.2:
        width = rng.uniform(1.5, 1.8)
    if plan.length(side) < width + 0.4:
        return False
    for _ in range(20):
        along = rng.uniform(width / 2 + 0.15, plan.length(side) - width / 2 - 0.15)
        if plan.is_bare(side, along - width / 2 - 0.2, along + width / 2 + 0.2, 0, height):
            break
    else:
        return False
    pose = plan.on_wall(side, along)
    x, y = pose.then(y=0.5).x, pose.then(y=0.5).y
    half_x, half_y = (0.55, width / 2 + 0.1)[:: -1 if side % 2 == 0 else 1]
    plan.blocked.append((x - half_x, x + half_x, y - half_y, y + half_y))
    plan.openings[side].append((along - width / 2, along + width / 2, 0.0, height))
    kind = rng.integers(3)
    leaf = [look.wood, look.white, palette.plastic(rng)][kind]
    recess = rng.choice([0.0, 0.05, 0.1])
    door = Thing("door").add(look.trim if kind else leaf, frame(width + 0.08, height + 0.04, 0.05, 0.02))
    leaves = 2 if width > 1.3 else 1
    for k in range(leaves):
        wide = width / leaves
        middle = (k + 0.5) * wide - width / 2
        door.add(leaf, box((wide - 0.01, 0.045, height), (middle, -recess - 0.02, 0)))
        door.add(look.steel, box((0.12, 0.05, 0.02), (middle + wide / 2 - 0.12, 0.025 - recess, 1.03)))
    plan.put(door, pose)
    return True


def add_windows(plan: Floorplan, look: Palette, side: int) -> None:
    """Windows along an outer wall: all of one kind, some with the blind drawn."""
    rng = plan.rng
    sill, top = rng.uniform(0.75, 1.0), min(rng.uniform(2.0, 2.4), plan.size[2] - 0.25)
    pane = rng.uniform(1.0, 2.2)
    number = int((plan.length(side) - 0.4) // (pane + 0.3))
    blinds = rng.random() < 0.45
    for k in range(number):
        along = (k + 0.5) * plan.length(side) / number
        if not plan.is_bare(side, along - pane / 2, along + pane / 2, sill, top) or rng.random() < 0.1:
            continue
        plan.put(_window(rng, look, pane, top - sill, blinds), plan.on_wall(side, along, 0, sill))
        plan.openings[side].append((along - pane / 2, along + pane / 2, sill, top))


def _window(rng: np.random.Generator, look: Palette, width: float, height: float, blind: bool) -> Thing:
    glass = Material(
        texture=textures.sky,
        color=palette.jitter(rng, (0.8, 0.88, 0.95)),
        accent=(0.35, 0.42, 0.38),
        dropout=0.55,
    )
    window = Thing("window")
    recess = 0.01 if blind else rng.uniform(0.06, 0.2)
    window.add(look.trim, frame(width, height, FRAME, 0.04).moved((0, -recess, 0)))
    if blind:
        window.add(look.white, box((width, 0.01, height), (0, -recess, 0)))
    else:
        window.add(glass, box((width, 0.01, height), (0, -recess, 0)))
        window.add(look.trim, box((0.05, 0.04, height), (0, 0.02 - recess, 0)))
    return window


def add_board(plan: Floorplan, look: Palette, sides: list[int]) -> None:
    """A writing board: the white of the wall between thin strips, with a tray."""
    rng = plan.rng
    width, height = rng.uniform(1.2, 2.6), rng.uniform(0.95, 1.25)
    face = dataclasses.replace(look.white, texture=textures.ink, accent=(0.12, 0.15, 0.45))
    board = Thing("board").add(face, box((width, 0.012, height), (0, 0.006, 0)))
    board.add(look.trim, frame(width, height, 0.025, 0.02))
    board.add(look.trim, box((width * 0.6, 0.07, 0.015), (0, 0.035, 0)))
    plan.hang(board, rng.uniform(0.85, 1.0), sides=sides)


def add_beams(plan: Floorplan, look: Palette, number: int, *, columns: bool = True) -> None:
    """Beams across the room, each on two half columns that stand out of the walls."""
    rng = plan.rng
    width, depth, height = plan.size
    across = 0 if width < depth else 1
    span, run = (width, depth) if across == 0 else (depth, width)
    wide, drop = rng.uniform(0.25, 0.45), rng.uniform(0.2, 0.45)
    out = rng.uniform(0.15, 0.35)
    paint = look.ceiling if look.ceiling.texture is textures.paint else look.wall
    for k in range(number):
        place = run * (k + 1) / (number + 1) + rng.uniform(-0.3, 0.3)
        size = (span, wide, drop) if across == 0 else (wide, span, drop)
        middle = (width / 2, place) if across == 0 else (place, depth / 2)
        plan.put(Thing("beam").add(paint, box(size)), Pose(*middle, height - drop))
        ends = ((3, depth - place), (1, place)) if across == 0 else ((0, place), (2, width - place))
        for side, along in ends if columns else ():
            if plan.is_bare(side, along - wide / 2 - 0.05, along + wide / 2 + 0.05, 0, height):
                column = Thing("column").add(look.wall, box((wide, out, height)))
                plan.put(column, plan.on_wall(side, along, out / 2), margin=0.0)
                plan.openings[side].append((along - wide / 2, along + wide / 2, 0, height))


def add_free_columns(plan: Floorplan, look: Palette, number: int) -> None:
    """Round or square columns that stand free."""
    rng = plan.rng
    thick = rng.uniform(0.3, 0.55)
    height = plan.size[2]
    shape = cylinder(thick / 2, height, steps=28) if rng.random() < 0.5 else box((thick, thick, height))
    for _ in range(number):
        plan.inside(Thing("column").add(look.wall, shape), margin=0.8)


def add_surfaces(plan: Floorplan, look: Palette) -> None:
    """Floor, ceiling and the four walls, with holes where doors and windows were put."""
    width, depth, height = plan.size
    floor = Thing("floor").add(look.floor, panel(width, depth).turned(-np.pi / 2, 0))
    plan.put(floor, Pose())
    ceiling = Thing("ceiling").add(look.ceiling, panel(width, depth).turned(-np.pi / 2, 0))
    lamp = Material(texture=textures.paint, color=(1.0, 1.0, 0.97))
    for x, y, _ in lamp_positions(plan.size):
        ceiling.add(lamp, box((0.58, 0.58, 0.012), (x, y, -0.012)))
    plan.put(ceiling, Pose(z=height))
    holes: dict[int, list[tuple[float, float, float, float]]] = {side: [] for side in SIDES}
    for thing, pose in plan.things:
        if thing.label in ("door", "window"):
            side = round(pose.yaw / (np.pi / 2))
            corner = plan.on_wall(side, 0)
            along = float(np.linalg.norm(pose.position[:2] - corner.position[:2]))
            holes[side] += [
                h for h in plan.openings[side] if h[0] < along < h[1] and abs(h[2] - pose.z) < 0.01
            ]
    for side in SIDES:
        length = plan.length(side)
        wall = Thing("wall").add(look.wall, panel(length, height, holes[side]))
        for a, b, c, d in holes[side]:
            for size, bottom in (
                ((0.02, 0.25, d - c), (a - 0.01, -0.125, c)),
                ((0.02, 0.25, d - c), (b + 0.01, -0.125, c)),
                ((b - a, 0.25, 0.02), ((a + b) / 2, -0.125, d)),
                ((b - a, 0.25, 0.02), ((a + b) / 2, -0.125, c - 0.02)),
            ):
                wall.add(look.wall, box(size, bottom))
        plan.put(wall, plan.on_wall(side, 0))


def lamp_positions(size: tuple[float, float, float]) -> np.ndarray:
    """``(L, 3)`` places of ceiling lamps, about one for 9 square metres, four at most."""
    width, depth, height = size
    columns, rows = (max(1, min(2, round(length / 3))) for length in (width, depth))
    x, y = np.meshgrid((np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * depth / rows)
    return np.column_stack([x.ravel(), y.ravel(), np.full(x.size, height)])
