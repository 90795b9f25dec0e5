"""Groups of objects: a workplace, a table with chairs, objects on top of a case."""

from collections.abc import Callable, Sequence

import numpy as np

from data_prep.synthetic import clutter, seating, storage, tables
from data_prep.synthetic.floorplan import Floorplan, footprint
from data_prep.synthetic.model import Item, Pose
from data_prep.synthetic.palette import Palette

QUARTERS = (0.0, np.pi / 2, np.pi, 1.5 * np.pi)


def place_on(plan: Floorplan, carrier: Item, pose: Pose, items: Sequence[Item]) -> None:
    """Place objects side by side on top of a table or a case."""
    width, depth, _ = carrier.size
    for k, item in enumerate(items):
        room = width * 0.92 / len(items)
        x = (k + 0.5) * room - width * 0.46
        spare = max(0.0, depth / 2 - item.size[1] / 2 - 0.03)
        if item.size[0] < width * 0.95:
            y = plan.rng.uniform(-spare, spare)
            put_small(plan, item, pose.then(x, y, carrier.top or 0.0, plan.rng.normal(0, 0.12)))


def is_clear(plan: Floorplan, item: Item, pose: Pose, front: float) -> bool:
    """Return whether an object at a pose, with ``front`` meters in front of it, touches nothing."""
    width, depth, _ = item.size
    return plan.is_free(footprint((width, depth + front), pose.then(y=front / 2), 0.0))


def put_small(plan: Floorplan, item: Item, pose: Pose) -> None:
    """Place a small object unless it would reach into a wall."""
    if plan.holds(footprint(item.size, pose, -0.03)):
        plan.put(item, pose)


def put_chair(plan: Floorplan, chair: Item, pose: Pose) -> None:
    """Place a chair, under a table if necessary, unless it would reach into a wall."""
    if plan.holds(footprint(chair.size, pose, 0.0)):
        plan.put(chair, pose, margin=0.0)


def random_items(
    rng: np.random.Generator, makers: Sequence[Callable[[np.random.Generator], Item]], most: int
) -> list[Item]:
    """Make up to ``most`` objects with random ``makers``."""
    return [makers[rng.integers(len(makers))](rng) for _ in range(rng.integers(0, most + 1))]


def dress_desk(plan: Floorplan, desk: Item, pose: Pose) -> None:
    """Place screen, keyboard and papers as for a person who sits at the front."""
    rng = plan.rng
    depth = min(desk.size[1], 0.75)
    aside = rng.uniform(-0.2, 0.2)
    if rng.random() < 0.8:
        put_small(plan, clutter.monitor(rng), pose.then(aside, -depth * 0.28, desk.top, rng.normal(0, 0.1)))
        put_small(plan, clutter.keyboard(rng), pose.then(aside, depth * 0.15, desk.top, rng.normal(0, 0.05)))
    for hand in (-1, 1):
        for item in random_items(rng, clutter.ON_DESK, 2):
            x = hand * (desk.size[0] / 2 - rng.uniform(0.2, 0.32))
            put_small(plan, item, pose.then(x, rng.uniform(-0.2, 0.15) * depth, desk.top, rng.normal(0, 0.4)))
    if rng.random() < 0.4:
        put_small(plan, clutter.computer(rng), pose.then(rng.choice([-0.42, 0.42]), -0.05, 0))


def add_workplace(plan: Floorplan, look: Palette) -> None:
    """Add a desk at a wall with its chair and the objects on it."""
    rng = plan.rng
    width = rng.uniform(1.2, 1.8)
    corner = rng.random() < 0.2
    if corner:
        desk = tables.corner_desk(rng, look, width)
    else:
        desk = tables.table(rng, look, width, rng.uniform(0.65, 0.8))
    pose = plan.against_wall(desk, front=0.3 if corner else 0.75)
    if pose is None:
        return
    dress_desk(plan, desk, pose)
    away = 0.36 + (0.1 if corner else rng.uniform(0.05, 0.35))
    spot = pose.then(rng.uniform(-0.2, 0.2) * (not corner), away, 0, np.pi + rng.normal(0, 0.4))
    chair = seating.office_chair(rng, look) if rng.random() < 0.8 else seating.side_chair(rng, look)
    put_chair(plan, chair, spot)


def add_chairs_around(
    plan: Floorplan, look: Palette, table: Item, pose: Pose, *, turning: bool, ends: bool = True
) -> None:
    """Add chairs along the long sides of a table and perhaps at its ends."""
    rng = plan.rng
    build = seating.office_chair if turning else seating.side_chair
    model = int(rng.integers(2**31))
    width, depth, _ = table.size
    number = max(1, int(width // rng.uniform(0.65, 0.85)))
    along = [(k + 0.5) / number * width - width / 2 for k in range(number)]
    spots = [(x, depth / 2, turn) for turn in (0, np.pi) for x in along]
    if ends and rng.random() < 0.6:
        spots += [(0.0, width / 2, turn) for turn in (np.pi / 2, -np.pi / 2)]
    for x, edge, turn in spots:
        if rng.random() < 0.88:
            # chairs of one table are alike
            chair = build(np.random.default_rng(model), look)
            spot = pose.then(yaw=turn).then(x, -edge - rng.uniform(-0.02, 0.28), 0, rng.normal(0, 0.2))
            put_chair(plan, chair, spot)


def add_case(plan: Floorplan, look: Palette) -> None:
    """Add a bookcase or a cupboard at a wall: as low as a desk, waist-high, or as tall as a door."""
    rng = plan.rng
    height = rng.choice([0.74, 1.15, 1.8, 2.1]) * rng.uniform(0.97, 1.03)
    wide = rng.uniform(0.8, 1.7)
    build = storage.bookcase if rng.random() < 0.7 else storage.cupboard
    case = build(rng, look, wide, height)
    pose = plan.against_wall(case, front=0.4)
    if pose is not None and height < 1.3:
        place_on(plan, case, pose, random_items(rng, clutter.ON_SHELF, 3))


def add_loose(plan: Floorplan, number: int) -> None:
    """Add bins, boxes, plants and bags at the walls."""
    for _ in range(number):
        item = clutter.ON_FLOOR[plan.rng.integers(len(clutter.ON_FLOOR))](plan.rng)
        plan.against_wall(item, front=0.15, gap=plan.rng.uniform(0.02, 0.15))
