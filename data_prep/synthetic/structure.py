"""Structural parts: beams, columns, shafts in corners, and ducts that look like beams."""

import numpy as np

from data_prep.synthetic import palette, textures
from data_prep.synthetic.floorplan import Floorplan
from data_prep.synthetic.model import Item, Pose
from data_prep.synthetic.palette import Palette
from data_prep.synthetic.shapes import box, cylinder, ellipse, prism, rounded, tube
from data_prep.synthetic.textures import Material

PROUD = 0.005
"""Meters by which a half column stands out beside its beam: of two faces in one plane, rays meet either."""


def add_beams(plan: Floorplan, look: Palette, number: int, *, columns: bool) -> None:
    """Add beams across the shorter side of the room, painted or of bare concrete, on half columns."""
    rng = plan.rng
    width, depth, height = plan.size
    along_x = width < depth
    span, run = (width, depth) if along_x else (depth, width)
    wide, drop, out = rng.uniform(0.25, 0.45), rng.uniform(0.2, 0.42), rng.uniform(0.12, 0.35)
    paint = [look.wall, look.ceiling, look.column][rng.integers(3)]
    if paint.texture is textures.tiles:
        paint = Material(texture=textures.paint, color=paint.color)
    ends = (3, 1) if along_x else (0, 2)
    for k in range(number):
        place = run * (k + rng.uniform(0.35, 0.65)) / number
        thick = wide - 2 * PROUD
        size = (span, thick, drop) if along_x else (thick, span, drop)
        middle = (width / 2, place) if along_x else (place, depth / 2)
        plan.put(Item("beam").add(paint, box(size)), Pose(*middle, height - drop))
        for side in ends if columns else ():
            along = run - place if side in (3, 2) else place
            wall = (along - wide / 2 - 0.04, along + wide / 2 + 0.04, 0.0, height)
            if plan.is_bare(side, wall):
                column = Item("column").add(look.column, box((wide, out, height)))
                plan.put(column, plan.on_wall(side, along, out / 2), margin=0.0)
                plan.taken[side].append(wall)


def add_free_columns(plan: Floorplan, look: Palette, number: int) -> None:
    """Add free-standing columns: round, square or with beveled corners."""
    rng = plan.rng
    thick, height = rng.uniform(0.3, 0.55), plan.size[2]
    outlines = ellipse(thick, thick), rounded(thick, thick, 0.01), rounded(thick, thick, 0.12)
    outline = outlines[rng.integers(3)]
    for _ in range(number):
        plan.inside(Item("column").add(look.column, prism(outline, height)), margin=0.75)


def add_shaft(plan: Floorplan, look: Palette) -> None:
    """Add a shaft in a corner, wider than a column; its class is wall."""
    rng = plan.rng
    width, depth, height = plan.size
    size_x, size_y = rng.uniform(0.7, width * 0.3), rng.uniform(0.7, depth * 0.3)
    east, north = bool(rng.integers(2)), bool(rng.integers(2))
    middle = (width - size_x / 2 if east else size_x / 2, depth - size_y / 2 if north else size_y / 2)
    walls = {(2 if north else 0): size_x, (1 if east else 3): size_y}
    # along sides 0 and 1 the low end is the west and the south end, along 2 and 3 the east and the north one
    at_start = {0: not east, 1: not north, 2: east, 3: north}
    starts = {side: 0.0 if at_start[side] else plan.length(side) - size for side, size in walls.items()}
    ends = {side: size if at_start[side] else plan.length(side) for side, size in walls.items()}
    areas = {side: (starts[side], ends[side], 0.0, height) for side in walls}
    if all(plan.is_bare(side, area) for side, area in areas.items()):
        plan.put(Item("wall").add(look.wall, box((size_x, size_y, height))), Pose(*middle), margin=0.0)
        for side, area in areas.items():
            plan.taken[side].append(area)


def add_ducts(plan: Floorplan, look: Palette) -> None:
    """Add a duct or pipes under the ceiling along the longer side of the room."""
    rng = plan.rng
    width, depth, height = plan.size
    length, breadth = max(width, depth), min(width, depth)
    yaw = 0.0 if width >= depth else np.pi / 2
    aside = rng.uniform(-0.35, 0.35) * breadth
    pose = Pose(width / 2, depth / 2, height, yaw).then(0, aside)
    reach = np.linspace(-length * 0.48, length * 0.48, 3)[:, None] * [1, 0, 0]
    tin = Material(texture=textures.metal, color=palette.jitter(rng, (0.62, 0.65, 0.7)))
    duct, spots = Item("clutter"), (-length / 4, length / 4)
    if rng.random() < 0.4:
        wide, drop = rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.35)
        duct.add(tin, box((length * 0.96, wide, drop), (0, 0, -drop - 0.06)))
        straps = [box((0.03, wide + 0.03, drop + 0.09), (x, 0, -drop - 0.09)) for x in spots]
    elif rng.random() < 0.5:
        radius = rng.uniform(0.1, 0.2)
        duct.add(tin, tube(reach, radius, 20).moved((0, 0, -radius - 0.06)))
        straps = [box((0.03, 2 * radius, 0.08 + radius), (x, 0, -0.08 - radius)) for x in spots]
    else:
        places = np.cumsum(rng.uniform(0.15, 0.25, rng.integers(1, 4)))
        duct.add(look.trim, *[tube(reach, rng.uniform(0.03, 0.07), 10).moved((0, y, -0.15)) for y in places])
        straps = [cylinder(0.01, 0.15, (x, places[0], -0.15), 6) for x in spots]
    duct.add(look.steel, *straps)
    plan.put(duct, pose)
