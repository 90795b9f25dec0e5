"""Work rooms: office, open space, conference room, copy room, storage."""

import numpy as np

from data_prep.synthetic import clutter, fixtures, groups, hangings, seating, storage, structure, tables
from data_prep.synthetic.floorplan import Floorplan
from data_prep.synthetic.model import Pose
from data_prep.synthetic.palette import Palette


def furnish_office(plan: Floorplan, look: Palette) -> None:
    """Add desks with chairs, bookcases and a board."""
    rng = plan.rng
    if rng.random() < 0.75:
        hangings.add_board(plan, look)
    for _ in range(max(1, round(plan.size[0] * plan.size[1] / 7))):
        groups.add_workplace(plan, look)
    for _ in range(int(rng.integers(2, 6))):
        groups.add_case(plan, look)
    if plan.size[0] * plan.size[1] > 20 and rng.random() < 0.4:
        plan.against_wall(seating.sofa(rng, look, rng.choice([0.9, 1.5])), front=0.5)
    if rng.random() < 0.4:
        plan.inside(seating.side_chair(rng, look), margin=0.15, yaws=rng.uniform(0, 6.3, 4))
    hangings.add_decoration(plan, look, 3)
    groups.add_loose(plan, 5)


def furnish_open_space(plan: Floorplan, look: Palette) -> None:
    """Add islands of desks face to face."""
    rng = plan.rng
    structure.add_free_columns(plan, look, int(rng.integers(1, 3)))
    hangings.add_board(plan, look)
    width, depth = rng.uniform(1.3, 1.6), 0.72
    model = int(rng.integers(2**31))
    yaw = 0.0 if plan.size[0] > plan.size[1] else np.pi / 2
    for _ in range(int(plan.size[0] * plan.size[1] / 2)):
        desk = tables.table(np.random.default_rng(model), look, width, depth)
        island = Pose(rng.uniform(0, plan.size[0]), rng.uniform(0, plan.size[1]), 0, yaw)
        halves = [island.then(0, -depth / 2 - 0.02, 0, 0).then(yaw=np.pi), island.then(0, depth / 2 + 0.02)]
        if not all(groups.is_clear(plan, desk, half, 0.75) for half in halves):
            continue
        for half in halves:
            plan.put(desk, half, margin=0.02)
            groups.dress_desk(plan, desk, half)
            x, y = rng.uniform(-0.2, 0.2), depth / 2 + rng.uniform(0.05, 0.3)
            spot = half.then(x, y, 0, np.pi + rng.normal(0, 0.4))
            plan.put(seating.office_chair(rng, look), spot, margin=0.0)
    for _ in range(7):
        groups.add_case(plan, look)
    hangings.add_decoration(plan, look, 5)
    groups.add_loose(plan, 9)


def furnish_conference_room(plan: Floorplan, look: Palette) -> None:
    """Add one long table with chairs, and a board."""
    rng = plan.rng
    hangings.add_board(plan, look, plain=rng.random() < 0.7)
    if rng.random() < 0.4:
        hangings.add_board(plan, look)
    width, depth, height = plan.size
    yaw = 0.0 if width > depth else np.pi / 2
    long = float(np.clip(max(width, depth) - rng.uniform(2.6, 3.2), 1.6, 5.0))
    table = tables.table(rng, look, long, float(np.clip(min(width, depth) - 2.6, 0.9, 1.5)))
    pose = plan.put(table, Pose(width / 2, depth / 2, 0, yaw), margin=0.0)
    groups.add_chairs_around(plan, look, table, pose, turning=rng.random() < 0.6)
    small = (clutter.laptop, clutter.stack, clutter.bottle, clutter.mug)
    groups.place_on(plan, table, pose, groups.random_items(rng, small, 5))
    if rng.random() < 0.5:
        plan.hang(hangings.television(rng), 1.1, sides=plan.inner)
    if rng.random() < 0.5:
        plan.put(fixtures.projector(rng, 0.3), Pose(width / 2, depth / 2, height, yaw))
    for _ in range(int(rng.integers(1, 4))):
        groups.add_case(plan, look)
    for _ in range(int(rng.integers(0, 4))):
        plan.against_wall(seating.side_chair(rng, look), front=0.2, gap=0.1)
    hangings.add_decoration(plan, look, 2)
    groups.add_loose(plan, 4)


def furnish_copy_room(plan: Floorplan, look: Palette) -> None:
    """Add printers, shelves and boxes."""
    rng = plan.rng
    for _ in range(int(rng.integers(1, 3))):
        plan.against_wall(fixtures.copier(rng), front=0.7)
    table = tables.table(rng, look, rng.uniform(1.2, 2.0), 0.7, rng.choice([0.74, 0.9]))
    pose = plan.against_wall(table, front=0.5)
    if pose:
        groups.place_on(plan, table, pose, [fixtures.printer(rng), clutter.stack(rng), clutter.stack(rng)])
    cabinet = storage.cupboard(rng, look, rng.uniform(1.0, 1.8), rng.uniform(0.85, 1.1))
    pose = plan.against_wall(cabinet, front=0.5)
    if pose:
        groups.place_on(plan, cabinet, pose, [fixtures.printer(rng), clutter.stack(rng)])
    for _ in range(2):
        groups.add_case(plan, look)
    plan.against_wall(storage.rack(rng, look, rng.uniform(0.9, 1.4), rng.uniform(1.7, 2.0)), front=0.5)
    if rng.random() < 0.4:
        hangings.add_board(plan, look)
    hangings.add_decoration(plan, look, 2)
    groups.add_loose(plan, 4)


def furnish_storage(plan: Floorplan, look: Palette) -> None:
    """Add shelves and boxes along the walls."""
    rng = plan.rng
    for _ in range(int(rng.integers(3, 6))):
        plan.against_wall(storage.rack(rng, look, rng.uniform(0.9, 1.8), rng.uniform(1.7, 2.2)), front=0.6)
    if rng.random() < 0.6:
        plan.against_wall(storage.cupboard(rng, look, rng.uniform(0.8, 1.2), 2.05), front=0.6)
    if rng.random() < 0.4:
        table = tables.table(rng, look, 1.4, 0.7)
        pose = plan.against_wall(table, front=0.4)
        if pose:
            groups.place_on(plan, table, pose, [clutter.carton(rng), clutter.stack(rng)])
    for _ in range(int(rng.integers(2, 6))):
        plan.against_wall(clutter.carton(rng), front=0.1, gap=rng.uniform(0.02, 0.2))
    if rng.random() < 0.6:
        structure.add_ducts(plan, look)
    groups.add_loose(plan, 3)
