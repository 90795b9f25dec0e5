"""Floor, ceiling and walls."""

import numpy as np

from data_prep.synthetic import textures
from data_prep.synthetic.floorplan import SIDES, Floorplan
from data_prep.synthetic.model import Item, Pose
from data_prep.synthetic.palette import Palette
from data_prep.synthetic.shapes import box, panel
from data_prep.synthetic.textures import Material

REVEAL = 0.26
"""Thickness of a wall, seen in the holes for windows and doors."""


def add_shell(plan: Floorplan, look: Palette) -> None:
    """Add floor, ceiling with lamps, and four walls with the holes for doors and windows."""
    width, depth, height = plan.size
    # panels are upright: rotated flat, their z becomes y
    plan.put(Item("floor").add(look.floor, panel(width, depth).turned(-np.pi / 2, 0)), Pose())
    ceiling = Item("ceiling").add(look.ceiling, panel(width, depth).turned(-np.pi / 2, 0))
    lamp = Material(texture=textures.paint, color=(1.0, 1.0, 0.97))
    for x, y, _ in lamp_positions(plan.size):
        ceiling.add(lamp, box((0.58, 0.58, 0.012), (x, y, -0.012)))
    plan.put(ceiling, Pose(z=height))
    skirting = plan.rng.random() < 0.6
    for side in SIDES:
        plan.put(wall_item(plan, look, side, skirting), plan.on_wall(side, 0))


def wall_item(plan: Floorplan, look: Palette, side: int, skirting: bool, *, reveal: float = REVEAL) -> Item:
    """Make a wall with the holes for doors and windows, ``reveal`` deep."""
    length, holes = plan.length(side), plan.holes[side]
    wall = Item("wall").add(look.wall, panel(length, plan.size[2], holes))
    for a, b, low, high in holes:
        tall, middle = high - low, (a + b) / 2
        sides = [box((0.02, reveal, tall), (x, -reveal / 2, low)) for x in (a - 0.01, b + 0.01)]
        rims = [box((b - a, reveal, 0.02), (middle, -reveal / 2, z)) for z in (low - 0.02, high)]
        wall.add(look.wall, *sides, *rims)
    if skirting:
        doors = [edge for a, b, low, _ in holes if low < 0.1 for edge in (a - 0.05, b + 0.05)]
        ends = sorted([0.0, length, *doors])
        for start, stop in zip(ends[::2], ends[1::2]):
            board = box((max(stop - start, 0.01), 0.012, 0.09), ((start + stop) / 2, 0.006, 0))
            wall.add(look.skirting, board)
    return wall


def lamp_positions(size: tuple[float, float, float]) -> np.ndarray:
    """Return positions ``(L, 3)`` of ceiling lamps, about one per 9 square meters, at most six."""
    width, depth, height = size
    columns, rows = (max(1, min(3 if length > 8 else 2, round(length / 3))) for length in (width, depth))
    x, y = np.meshgrid((np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * depth / rows)
    return np.column_stack([x.ravel(), y.ravel(), np.full(x.size, height)])
