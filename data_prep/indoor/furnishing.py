"""Furnish a room from a list of pieces: what is made, how often, where, and what belongs to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from data_prep.indoor.furniture import Maker, Style
from data_prep.synthetic.floorplan import Floorplan, footprint
from data_prep.synthetic.groups import is_clear
from data_prep.synthetic.model import Item, Pose

Where = Literal["wall", "free", "hung", "ceiling"]
Relation = Literal["front", "beside", "around"]

QUARTERS = (0.0, np.pi / 2, np.pi, 1.5 * np.pi)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Furniture of one kind.

    Args:
        make: Makes one of it.
        count: Least and largest number per room; a negative number counts as 0, which makes 0 more likely.
        area: Square meters per further one; 0: the number does not depend on the room.
        where: At a wall, anywhere on the floor, on a wall, or below the ceiling.
        front: Meters kept free in front of it, or around it.
        height: Limits of its lower edge on a wall.
        on_top: Makers of things on it, and their largest number.
        near: Maker of what belongs to it, and where that stands.
    """

    make: Maker
    count: tuple[int, int] = (1, 1)
    area: float = 0.0
    where: Where = "wall"
    front: float = 0.5
    height: tuple[float, float] = (1.1, 1.4)
    on_top: tuple[Sequence[Maker], int] = ((), 0)
    near: tuple[Maker, Relation] | None = None


def furnish(plan: Floorplan, style: Style, pieces: Sequence[Piece]) -> None:
    """Put all pieces into a room; what does not fit is left out."""
    for piece in pieces:
        number = int(plan.rng.integers(piece.count[0], piece.count[1] + 1))
        if piece.area:
            number += int(plan.size[0] * plan.size[1] / piece.area)
        for _ in range(number):
            _add(plan, style, piece)


def _add(plan: Floorplan, style: Style, piece: Piece) -> None:
    rng = plan.rng
    parts = piece.make(rng, style)
    whole = Item(parts[0].label, [surface for part in parts for surface in part.surfaces])
    top = next((part.top for part in parts if part.top), None)
    pose = _pose(plan, whole, piece)
    if pose is None:
        return
    for part in parts:
        plan.put(part, pose)
    makers, most = piece.on_top
    if makers and top:
        small = [makers[rng.integers(len(makers))](rng, style)[0] for _ in range(rng.integers(0, most + 1))]
        _put_on(plan, parts[0], pose, top, small)
    if piece.near:
        _add_near(plan, style, whole, pose, *piece.near)


def _put_on(plan: Floorplan, carrier: Item, pose: Pose, top: float, items: Sequence[Item]) -> None:
    """Put things side by side on a carrier, those that would reach into a wall excepted."""
    width, depth, _ = carrier.size
    for k, item in enumerate(items):
        room = width * 0.92 / len(items)
        spare = max(0.0, depth / 2 - item.size[1] / 2 - 0.03)
        x, y = (k + 0.5) * room - width * 0.46, plan.rng.uniform(-spare, spare)
        spot = pose.then(x, y, top, plan.rng.normal(0, 0.15))
        if item.size[0] < width * 0.95 and plan.holds(footprint(item.size, spot, -0.03)):
            plan.put(item, spot)


def _pose(plan: Floorplan, whole: Item, piece: Piece) -> Pose | None:
    """Find free room for an object and mark it as taken."""
    rng, before = plan.rng, len(plan.items)
    if piece.where == "wall":
        pose = plan.against_wall(whole, front=piece.front, gap=float(rng.uniform(0.01, 0.06)))
    elif piece.where == "free":
        yaws = QUARTERS if rng.random() < 0.7 else tuple(rng.uniform(0, 2 * np.pi, 4))
        margins = (piece.front, min(piece.front, 0.35))  # closer to others rather than not at all
        pose = plan.inside(whole, margin=margins[0], yaws=yaws) or plan.inside(whole, margin=margins[1])
    elif piece.where == "hung":
        pose = plan.hang(whole, float(rng.uniform(*piece.height)), sides=plan.inner)
    else:
        spot = rng.uniform(0.2, 0.8, 2) * plan.size[:2]
        pose = Pose(float(spot[0]), float(spot[1]), plan.size[2], float(rng.choice(QUARTERS)))
    del plan.items[before:]  # the parts are put one by one
    return pose


def _add_near(
    plan: Floorplan, style: Style, whole: Item, pose: Pose, make: Maker, relation: Relation
) -> None:
    """Add chairs in front of or around a table, or a piece on both sides of a bed."""
    rng = plan.rng
    width, depth, _ = whole.size
    if relation == "beside":
        for hand in (-1, 1):
            for item in make(rng, style)[:1]:
                x = hand * (width / 2 + item.size[0] / 2 + 0.06)
                spot = pose.then(x, item.size[1] / 2 - depth / 2 + 0.05)
                if rng.random() < 0.75 and is_clear(plan, item, spot, 0.0):
                    plan.put(item, spot, margin=0.0)
        return
    seed, spots = int(rng.integers(2**31)), []
    if relation == "front":
        spots.append((rng.uniform(-0.2, 0.2), depth / 2 + rng.uniform(0.05, 0.45), np.pi))
    else:
        number = max(1, int(width // 0.65))
        for turn in (0.0, np.pi):
            along = [(k + 0.5) / number * width - width / 2 for k in range(number)]
            sign = -1 if turn == 0 else 1
            spots += [(x, sign * (depth / 2 + rng.uniform(-0.05, 0.3)), turn) for x in along]
    for x, y, turn in spots:
        if rng.random() < 0.88:
            (chair,) = make(np.random.default_rng(seed), style)  # chairs of one table are alike
            # a low table stands before a sofa, a chair below the edge of a table
            away = 0.3 + chair.size[1] / 2 if chair.label == "table" else 0.0
            spot = pose.then(x, y + away, 0, turn + rng.normal(0, 0.25 if not away else 0.05))
            if plan.holds(footprint(chair.size, spot, 0.0)):
                plan.put(chair, spot, margin=0.0)
