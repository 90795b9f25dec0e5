"""Bookcases, cupboards and racks; closed cupboards in kitchens are clutter."""

import numpy as np

from data_prep.synthetic import clutter, textures
from data_prep.synthetic.model import Item
from data_prep.synthetic.palette import Palette
from data_prep.synthetic.shapes import Mesh, box
from data_prep.synthetic.tables import posts
from data_prep.synthetic.textures import Material

THICK = 0.025


def bookcase(rng: np.random.Generator, look: Palette, width: float, height: float) -> Item:
    """Make open shelves with books and gaps; the lower ones may have doors, the back may be open."""
    depth = rng.uniform(0.28, 0.42)
    body = [look.wood, look.white, look.steel][rng.choice(3, p=[0.6, 0.25, 0.15])]
    case = Item("bookcase", top=height)
    at = (width - THICK) / 2
    case.add(body, *[box((THICK, depth, height), (x, 0, 0)) for x in (-at, at)])
    case.add(body, box((width, depth, THICK), (0, 0, height - THICK)))
    if rng.random() < 0.8:
        case.add(body, box((width, 0.012, height), (0, 0.006 - depth / 2, 0)))
    number = max(2, round(height / rng.uniform(0.3, 0.4)))
    gap = (height - 0.08) / number
    closed = number // 2 if rng.random() < 0.3 else 0
    split = width > 1.1 and rng.random() < 0.7
    if split:
        case.add(body, box((THICK, depth, height), (0, 0, 0)))
    bays = [(-width / 4, width / 2), (width / 4, width / 2)] if split else [(0.0, width)]
    for k in range(number):
        z = 0.06 + k * gap
        case.add(body, box((width - THICK, depth - 0.01, THICK), (0, 0, z)))
        for x, bay in bays:
            if k < closed:
                case.add(body, box((bay - 0.01, 0.02, gap - 0.01), (x, depth / 2 + 0.008, z)))
            else:
                _fill(case, rng, (x, bay - 2 * THICK), depth, (z + THICK, gap - THICK))
    return case


def _fill(
    case: Item, rng: np.random.Generator, bay: tuple[float, float], depth: float, rise: tuple[float, float]
) -> None:
    """Put books, folders or a box on a shelf: ``bay`` is (middle, width), ``rise`` (bottom, free height)."""
    kind = rng.choice(4, p=[0.15, 0.45, 0.25, 0.15])
    (middle, width), (z, free) = bay, rise
    if kind == 0:
        return
    spines = Material(texture=textures.books, color=(0.5, 0.4, 0.3), scale=free)
    if kind == 3:
        card = clutter.CARDS[rng.integers(len(clutter.CARDS))]
        case.add(card, box((width * rng.uniform(0.3, 0.6), depth * 0.7, free * 0.75), (middle, 0, z)))
        return
    left = middle - width / 2
    while left < middle + width / 2 - 0.1:
        run = min(rng.uniform(0.15, 0.6), middle + width / 2 - left)
        tall, deep = free * rng.uniform(0.55, 0.92), depth * rng.uniform(0.45, 0.8)
        case.add(spines, box((run, deep, tall), (left + run / 2, deep / 2 - depth / 2 + 0.02, z)))
        left += run + (rng.uniform(0.05, 0.3) if kind == 2 else 0.002)


def cupboard(
    rng: np.random.Generator, look: Palette, width: float, height: float, *, label: str = "bookcase"
) -> Item:
    """Make a cupboard with flat fronts: a wardrobe as tall as a door, a sideboard, or a filing cabinet."""
    depth = rng.uniform(0.4, 0.6)
    body = [look.wood, look.white, look.steel][rng.choice(3, p=[0.45, 0.35, 0.2])]
    case = Item(label, top=height).add(body, box((width, depth - 0.02, height - 0.06), (0, -0.01, 0.06)))
    case.add(look.steel, box((width - 0.06, depth - 0.08, 0.06), (0, -0.02, 0)))
    case.add(body, *_fronts(rng, width, depth, height))
    doors = max(1, round(width / 0.45))
    for k in range(doors):
        x = (k + 0.85) * width / doors - width / 2
        case.add(look.steel, box((0.02, 0.03, 0.14), (x, depth / 2 + 0.015, height * 0.52)))
    return case


def _fronts(rng: np.random.Generator, width: float, depth: float, height: float) -> list[Mesh]:
    doors = max(1, round(width / 0.45))
    wide, y = width / doors, depth / 2
    middles = [(k + 0.5) * wide - width / 2 for k in range(doors)]
    if rng.random() < 0.35 and height < 1.4:
        rows = max(2, round(height / 0.3))
        tall = (height - 0.08) / rows
        rises = [0.07 + row * tall for row in range(rows)]
        return [box((wide - 0.012, 0.02, tall - 0.012), (x, y, z)) for x in middles for z in rises]
    return [box((wide - 0.012, 0.02, height - 0.09), (x, y, 0.07)) for x in middles]


def rack(rng: np.random.Generator, look: Palette, width: float, height: float) -> Item:
    """Make a metal rack with open shelves that hold cartons and boxes."""
    depth = rng.uniform(0.4, 0.6)
    case = Item("bookcase", top=height)
    case.add(look.steel, posts(width - 0.04, depth - 0.04, height, 0.04, is_round=False))
    number = int(rng.integers(4, 6))
    gap = (height - 0.1) / (number - 1)
    for k in range(number):
        case.add(look.steel, box((width, depth, 0.03), (0, 0, 0.08 + k * gap)))
        left = -width / 2 + 0.05
        while left < width / 2 - 0.3 and k < number - 1:
            wide = rng.uniform(0.22, 0.45)
            if rng.random() < 0.7 and left + wide < width / 2:
                size = (wide, rng.uniform(0.25, depth - 0.05), rng.uniform(0.15, gap - 0.06))
                card = clutter.CARDS[rng.integers(len(clutter.CARDS))]
                case.add(card, box(size, (left + wide / 2, 0, 0.11 + k * gap)))
            left += wide + rng.uniform(0.02, 0.15)
    return case
