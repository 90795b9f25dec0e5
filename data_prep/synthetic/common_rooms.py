"""Common rooms: hallway, lobby, lounge, pantry, WC."""

import numpy as np

from data_prep.synthetic import clutter, fixtures, groups, hangings, seating, storage, structure, tables
from data_prep.synthetic.floorplan import Floorplan
from data_prep.synthetic.model import Pose
from data_prep.synthetic.openings import add_door
from data_prep.synthetic.palette import Palette


def furnish_hallway(plan: Floorplan, look: Palette) -> None:
    """Add doors, lamps and little else."""
    rng = plan.rng
    long_sides = (0, 2) if plan.size[0] > plan.size[1] else (1, 3)
    for _ in range(max(2, round(max(plan.size[:2]) / 2.5))):
        add_door(plan, look, int(rng.choice(long_sides)))
    if rng.random() < 0.5:
        hangings.add_board(plan, look)
    if rng.random() < 0.25:
        structure.add_ducts(plan, look)
    if rng.random() < 0.5:
        case = storage.cupboard(rng, look, rng.uniform(0.8, 1.4), rng.choice([1.1, 2.05]))
        plan.against_wall(case, front=0.8)
    if rng.random() < 0.4:
        plan.against_wall(seating.side_chair(rng, look), sides=long_sides, front=0.7)
    hangings.add_decoration(plan, look, 7)
    groups.add_loose(plan, 5)


def _sitting_group(plan: Floorplan, look: Palette) -> None:
    """Add a sofa at a wall, a low table in front of it, and an armchair or a pouf beside it."""
    rng = plan.rng
    sofa = seating.sofa(rng, look, rng.uniform(1.5, 2.3))
    pose = plan.against_wall(sofa, front=1.2)
    if pose is None:
        if plan.against_wall(sofa, front=0.3) is None:
            plan.against_wall(seating.sofa(rng, look, 0.85), front=0.2)
        return
    table = tables.table(rng, look, rng.uniform(0.7, 1.1), rng.uniform(0.5, 0.7), 0.42)
    spot = pose.then(rng.uniform(-0.3, 0.3), sofa.size[1] / 2 + 0.3 + table.size[1] / 2)
    plan.put(table, spot, margin=0.02)
    small = (clutter.mug, clutter.stack, clutter.bottle)
    groups.place_on(plan, table, spot, groups.random_items(rng, small, 2))
    for hand in (-1, 1):
        is_sofa = rng.random() < 0.5
        seat = seating.sofa(rng, look, rng.uniform(0.8, 0.95)) if is_sofa else seating.pouf(rng, look)
        place = spot.then(hand * (table.size[0] / 2 + 0.35 + seat.size[0] / 2), 0.2, 0, hand * np.pi / 2)
        if rng.random() < 0.7 and groups.is_clear(plan, seat, place, 0.0):
            plan.put(seat, place, margin=0.02)


def furnish_lounge(plan: Floorplan, look: Palette) -> None:
    """Add sofas, low tables and shelves."""
    rng = plan.rng
    for _ in range(int(rng.integers(1, 3))):
        _sitting_group(plan, look)
    if rng.random() < 0.5:
        structure.add_free_columns(plan, look, 1)
    for _ in range(int(rng.integers(0, 3))):
        table = tables.table(rng, look, rng.uniform(0.7, 1.2), 0.7)
        pose = plan.inside(table, margin=0.7, yaws=groups.QUARTERS)
        if pose:
            groups.add_chairs_around(plan, look, table, pose, turning=False, ends=False)
    for _ in range(int(rng.integers(1, 4))):
        groups.add_case(plan, look)
    if rng.random() < 0.5:
        plan.hang(hangings.television(rng), 1.1, sides=plan.inner)
    if rng.random() < 0.3:
        hangings.add_board(plan, look)
    for _ in range(int(rng.integers(0, 4))):
        spot = Pose(*(rng.uniform(0.25, 0.75, 2) * plan.size[:2]), plan.size[2])
        plan.put(fixtures.pendant_lamp(rng, rng.uniform(0.3, 0.7)), spot)
    hangings.add_decoration(plan, look, 4)
    groups.add_loose(plan, 5)


def furnish_lobby(plan: Floorplan, look: Palette) -> None:
    """Add a counter, seats and free-standing columns."""
    rng = plan.rng
    structure.add_free_columns(plan, look, int(rng.integers(1, 4)))
    for _ in range(3):
        _sitting_group(plan, look)
    desk = fixtures.counter(rng, look, rng.uniform(1.6, 2.6))
    pose = plan.inside(desk, margin=0.8, yaws=groups.QUARTERS)
    if pose:
        plan.put(seating.office_chair(rng, look), pose.then(0, -0.7, 0, rng.normal(0, 0.3)), margin=0.0)
        plan.put(clutter.monitor(rng), pose.then(0.3, 0.1, desk.top, np.pi))
    add_door(plan, look, int(rng.choice(plan.inner)))
    if rng.random() < 0.4:
        plan.against_wall(fixtures.vending_machine(rng), front=0.7)
    if rng.random() < 0.5:
        hangings.add_board(plan, look)
    for _ in range(3):
        groups.add_case(plan, look)
    hangings.add_decoration(plan, look, 6)
    groups.add_loose(plan, 9)


def furnish_pantry(plan: Floorplan, look: Palette) -> None:
    """Add a kitchen row, a table and chairs."""
    rng = plan.rng
    row = fixtures.kitchen_row(rng, look, rng.uniform(1.4, min(2.6, min(plan.size[:2]) - 0.5)))
    pose = plan.against_wall(row, sides=plan.inner, front=0.8)
    if pose:
        on_top = (fixtures.microwave, fixtures.coffee_machine, clutter.bottle, clutter.mug, clutter.mug)
        groups.place_on(plan, row, pose, groups.random_items(rng, on_top, 4))
        upper = storage.cupboard(rng, look, row.size[0] * 0.9, 0.65, label="clutter")
        depth = upper.size[1]
        plan.put(upper, pose.then(0, depth / 2 - row.size[1] / 2, 1.45))
    plan.against_wall(fixtures.fridge(rng, look), front=0.6)
    tall = rng.random() < 0.4
    table = tables.table(rng, look, rng.uniform(0.8, 1.5), 0.75, 1.0 if tall else 0.74)
    pose = plan.inside(table, margin=0.42, yaws=groups.QUARTERS) or plan.against_wall(table, front=0.7)
    if pose and tall:
        for turn in (0, np.pi):
            spot = pose.then(yaw=turn).then(0, -table.size[1] / 2 - 0.15)
            groups.put_chair(plan, seating.stool(rng, look), spot)
    elif pose:
        groups.add_chairs_around(plan, look, table, pose, turning=False)
    if rng.random() < 0.3:
        plan.against_wall(fixtures.vending_machine(rng), front=0.6)
    hangings.add_decoration(plan, look, 2)
    groups.add_loose(plan, 3)


def furnish_wc(plan: Floorplan, look: Palette) -> None:
    """Add basins, mirrors and stalls."""
    rng = plan.rng
    number = int(np.clip((max(plan.size[:2]) - 0.6) // 0.95, 1, 4))
    stalls = fixtures.stalls(rng, look, number)
    pose = plan.against_wall(stalls, front=0.9, gap=0.02)
    if pose:
        for k in range(number):
            x = (k + 0.5) * 0.95 - stalls.size[0] / 2
            plan.put(fixtures.toilet(rng), pose.then(x, -stalls.size[1] / 2 + 0.38))
    else:
        plan.against_wall(fixtures.toilet(rng), front=0.4)
    basins = fixtures.basin(rng, look, rng.uniform(0.7, 1.8))
    pose = plan.against_wall(basins, front=0.6)
    if pose:
        glass = hangings.mirror(rng, look, basins.size[0] * 0.95)
        plan.put(glass, pose.then(0, -basins.size[1] / 2 - 0.015, 1.1))
    for _ in range(int(rng.integers(0, 4))):
        plan.hang(fixtures.urinal(rng), 0.4)
    plan.against_wall(clutter.waste_bin(rng), front=0.1)
    hangings.add_decoration(plan, look, 2, pictures=False)
