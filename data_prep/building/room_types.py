"""What each type of room holds and where."""

import numpy as np

from data_prep.building import clutter, furniture, shell
from data_prep.building.floorplan import SIDES, Floorplan
from data_prep.building.model import Pose, RoomModel, assemble
from data_prep.building.palette import Palette, draw_palette


def _workplace(plan: Floorplan, look: Palette) -> None:
    rng = plan.rng
    desk = furniture.table(rng, look, rng.uniform(1.2, 1.8), rng.uniform(0.65, 0.8))
    pose = plan.against_wall(desk, front=0.8)
    if pose is None:
        return
    place_on(plan, desk, pose, [clutter.monitor(rng), clutter.keyboard(rng), clutter.stack(rng)])
    seat = pose.then(
        rng.uniform(-0.2, 0.2), desk.size[1] / 2 + rng.uniform(0.1, 0.35), 0, np.pi + rng.normal(0, 0.4)
    )
    plan.put(furniture.office_chair(rng, look), seat, margin=0.0)


def place_on(plan: Floorplan, carrier, pose: Pose, things: list) -> None:
    """Stand things side by side on a table or a low case."""
    width, depth, _ = carrier.size
    for k, thing in enumerate(things):
        x = (k + 0.5) * width / len(things) - width / 2
        plan.put(
            thing,
            pose.then(x, plan.rng.uniform(-0.2, 0.1) * depth, carrier.top or 0.0, plan.rng.normal(0, 0.15)),
        )


def _floor_clutter(plan: Floorplan, number: int) -> None:
    for _ in range(number):
        thing = clutter.ON_FLOOR[plan.rng.integers(len(clutter.ON_FLOOR))](plan.rng)
        plan.against_wall(thing, front=0.1)


def _cases(plan: Floorplan, look: Palette, number: int) -> None:
    for _ in range(number):
        height = plan.rng.choice([0.75, 1.2, 1.8, 2.1])
        plan.against_wall(furniture.bookcase(plan.rng, look, plan.rng.uniform(0.8, 1.6), height), front=0.4)


def office(plan: Floorplan, look: Palette, walls: list[int]) -> None:
    shell.add_board(plan, look, walls)
    for _ in range(int(plan.rng.integers(2, 4))):
        _workplace(plan, look)
    _cases(plan, look, 2)
    _floor_clutter(plan, 3)


def conference_room(plan: Floorplan, look: Palette, walls: list[int]) -> None:
    rng = plan.rng
    shell.add_board(plan, look, walls)
    width, depth, _ = plan.size
    long = max(width, depth) - 2.6
    table = furniture.table(rng, look, max(1.6, min(long, 4.5)), rng.uniform(1.0, 1.4))
    yaw = 0.0 if width > depth else np.pi / 2
    pose = plan.put(table, Pose(width / 2, depth / 2, 0, yaw), margin=0.0)
    seats = int(table.size[0] // 0.75)
    for k in range(seats):
        for turn in (0, np.pi):
            chair = furniture.office_chair(rng, look)
            x = (k + 0.5) * table.size[0] / seats - table.size[0] / 2
            spot = pose.then(yaw=turn).then(
                x, -table.size[1] / 2 - rng.uniform(0.05, 0.3), 0, rng.normal(0, 0.2)
            )
            plan.put(chair, spot, margin=0.0)
    _cases(plan, look, 1)
    _floor_clutter(plan, 2)


def hallway(plan: Floorplan, look: Palette, walls: list[int]) -> None:
    for side in (*walls, *walls):
        shell.add_door(plan, look, side)
    if plan.rng.random() < 0.6:
        shell.add_board(plan, look, walls)
    _cases(plan, look, 1)
    _floor_clutter(plan, 2)


def lounge(plan: Floorplan, look: Palette, walls: list[int]) -> None:
    rng = plan.rng
    shell.add_free_columns(plan, look, 1)
    for width in (2.0, 1.5, 0.95):
        plan.against_wall(furniture.sofa(rng, look, width), front=0.5)
    coffee = furniture.table(rng, look, 0.9, 0.6, 0.42)
    plan.inside(coffee, margin=0.3)
    for _ in range(2):
        plan.inside(furniture.side_chair(rng, look), margin=0.2, yaws=(0, np.pi / 2, 0.7, 2.5))
    _cases(plan, look, 1)
    _floor_clutter(plan, 2)


SIZES = {
    "office": ((3.0, 5.0), (3.0, 6.0)),
    "conferenceRoom": ((4.0, 5.5), (5.0, 8.0)),
    "hallway": ((1.8, 2.6), (7.0, 14.0)),
    "lounge": ((4.5, 7.0), (5.0, 8.0)),
}
PROGRAMS = {"office": office, "conferenceRoom": conference_room, "hallway": hallway, "lounge": lounge}


def build_room(seed: int, room_type: str) -> RoomModel:
    """A furnished room of a type; the same for the same seed."""
    rng = np.random.default_rng(seed)
    size = (*(float(rng.uniform(*limits)) for limits in SIZES[room_type]), float(rng.uniform(2.5, 3.3)))
    plan = Floorplan(size, rng)
    look = draw_palette(rng)
    outer = int(rng.choice(SIDES)) if room_type != "hallway" else 0
    opposite = (outer + 2) % 4
    shell.add_door(plan, look, opposite)
    shell.add_windows(plan, look, outer)
    if room_type in ("hallway", "lounge", "conferenceRoom") or rng.random() < 0.4:
        shell.add_beams(plan, look, int(rng.integers(1, 4)))
    PROGRAMS[room_type](plan, look, [side for side in SIDES if side not in (outer, opposite)])
    shell.add_surfaces(plan, look)
    return assemble(
        plan.things,
        room_type=room_type,
        size=size,
        obstacles=np.array(plan.footprints or [(0, 0, 0, 0)]),
        lamps=shell.lamp_positions(size) - [0, 0, 0.05],
        seed=seed,
    )
