"""Fixed and heavy objects of the class clutter: sanitary ware, kitchens, machines, pendant lamps."""

import numpy as np

from data_prep.synthetic import palette, textures
from data_prep.synthetic.model import Item
from data_prep.synthetic.palette import Palette
from data_prep.synthetic.shapes import box, cylinder, ellipse, lathe, pillow, prism, tube
from data_prep.synthetic.textures import Material

CERAMIC = Material(texture=textures.paint, color=(0.92, 0.92, 0.91))
SCREEN = Material(texture=textures.picture, color=(0.05, 0.05, 0.07), scale=0.1)


def toilet(rng: np.random.Generator) -> Item:
    bowl = [(0, 0), (0.12, 0), (0.1, 0.2), (0.19, 0.36), (0.19, 0.4), (0.14, 0.4), (0.08, 0.25), (0, 0.22)]
    item = Item("clutter").add(CERAMIC, lathe(bowl).scaled((1, 1.25, 1)).moved((0, 0.05, 0)))
    item.add(
        CERAMIC,
        prism(ellipse(0.37, 0.46), 0.02, (0, 0.06, 0.4)) if rng.random() < 0.6 else box((0.2, 0.1, 0.4)),
    )
    return item.add(CERAMIC, box((0.38, 0.16, 0.38), (0, -0.26, 0.42)), box((0.2, 0.3, 0.36), (0, -0.2, 0)))


def urinal(rng: np.random.Generator) -> Item:
    return Item("clutter").add(
        CERAMIC, pillow((0.36, 0.3, 0.7), (0, 0.16, 0), 0.5), box((0.34, 0.04, 0.7), (0, 0.02, 0))
    )


def basin(rng: np.random.Generator, look: Palette, width: float) -> Item:
    """Make a counter with one or more basins and taps, open below or on a cupboard."""
    item = Item("clutter", top=0.85)
    item.add(look.white if rng.random() < 0.5 else look.wood, box((width, 0.5, 0.04), (0, 0, 0.81)))
    if rng.random() < 0.5:
        item.add(look.wood, box((width - 0.04, 0.46, 0.75), (0, -0.01, 0.06)))
    number = max(1, int(width // 0.75))
    for k in range(number):
        x = (k + 0.5) * width / number - width / 2
        bowl = lathe(
            [(0.03, 0.02), (0.15, 0.03), (0.2, 0.12), (0.19, 0.12), (0.14, 0.04), (0, 0.03)], (x, 0.02, 0.83)
        )
        item.add(CERAMIC, bowl)
        tap = np.array([[x, -0.2, 0.85], [x, -0.2, 1.02], [x, -0.15, 1.07], [x, -0.06, 1.04]])
        item.add(look.steel, tube(tap, 0.014))
    return item


def stalls(rng: np.random.Generator, look: Palette, number: int) -> Item:
    """Make a row of toilet stalls: partitions with doors, its back to a wall."""
    width, depth = 0.95 * number, 1.45
    sheet = palette.plastic(rng)
    item = Item("clutter")
    for k in range(number + 1):
        item.add(sheet, box((0.025, depth, 1.85), (k * 0.95 - width / 2, 0, 0.15)))
        item.add(look.steel, cylinder(0.02, 0.15, (k * 0.95 - width / 2, depth / 2 - 0.05, 0), 8))
    for k in range(number):
        x = (k + 0.5) * 0.95 - width / 2
        item.add(sheet, *[box((0.15, 0.025, 1.85), (x + dx, depth / 2, 0.15)) for dx in (-0.4, 0.4)])
        leaf = box((0.64, 0.025, 1.8), (0.32, 0, 0.18)).turned(-rng.choice([0.0, 0.0, 0.9]))
        item.add(sheet, leaf.moved((x - 0.32, depth / 2, 0)))
    return item


def kitchen_row(rng: np.random.Generator, look: Palette, width: float) -> Item:
    """Make cupboards with a worktop and a sink; in a pantry they are clutter."""
    body = look.white if rng.random() < 0.6 else look.wood
    item = Item("clutter", top=0.9).add(body, box((width, 0.56, 0.8), (0, -0.01, 0.06)))
    item.add(look.wood, box((width, 0.6, 0.04), (0, 0, 0.86)))
    doors = round(width / 0.6)
    for k in range(doors):
        x = (k + 0.5) * width / doors - width / 2
        item.add(body, box((width / doors - 0.012, 0.02, 0.76), (x, 0.28, 0.08)))
        item.add(look.steel, box((0.14, 0.03, 0.015), (x, 0.3, 0.78)))
    tap = np.array([[0.3, -0.22, 0.9], [0.3, -0.22, 1.12], [0.3, -0.15, 1.18], [0.3, -0.04, 1.1]])
    item.add(look.steel, tube(tap, 0.014), box((0.5, 0.4, 0.012), (0.3, 0, 0.9)))
    return item


def fridge(rng: np.random.Generator, look: Palette) -> Item:
    tall = rng.uniform(1.2, 1.95)
    body = [look.white, look.steel, CERAMIC][rng.integers(3)]
    item = Item("clutter", top=tall).add(
        body, box((0.6, 0.62, tall)), box((0.59, 0.03, tall * 0.6 - 0.02), (0, 0.325, 0.03))
    )
    item.add(body, box((0.59, 0.03, tall * 0.4 - 0.03), (0, 0.325, tall * 0.6 + 0.02)))
    return item.add(look.steel, box((0.02, 0.05, 0.35), (0.25, 0.35, tall * 0.45)))


def microwave(rng: np.random.Generator) -> Item:
    steel = palette.metal(rng)
    return (
        Item("clutter")
        .add(steel, box((0.48, 0.36, 0.28)))
        .add(SCREEN, box((0.3, 0.01, 0.2), (-0.06, 0.18, 0.04)))
    )


def coffee_machine(rng: np.random.Generator) -> Item:
    body = palette.plastic(rng)
    item = Item("clutter").add(body, box((0.26, 0.34, 0.05)), box((0.26, 0.14, 0.4), (0, -0.1, 0)))
    return item.add(body, box((0.26, 0.34, 0.12), (0, 0, 0.3))).add(
        CERAMIC, cylinder(0.04, 0.1, (0, 0.06, 0.05), 12)
    )


def vending_machine(rng: np.random.Generator) -> Item:
    goods = Material(texture=textures.picture, color=(0.15, 0.15, 0.18), scale=0.09)
    item = Item("clutter").add(palette.plastic(rng), box((0.95, 0.8, 1.85)))
    return item.add(goods, box((0.6, 0.01, 1.2), (-0.12, 0.4, 0.5)))


def copier(rng: np.random.Generator) -> Item:
    """Make a free-standing copier with a feeder and a side tray."""
    light, dark = palette.jitter(rng, (0.8, 0.8, 0.78)), (0.25, 0.26, 0.28)
    shell, base = (Material(texture=textures.metal, color=color) for color in (light, dark))
    item = Item("clutter").add(base, box((0.6, 0.6, 0.6)))
    item.add(shell, box((0.62, 0.62, 0.35), (0, 0, 0.6)), box((0.58, 0.5, 0.1), (0, -0.02, 0.97)))
    item.add(shell, box((0.3, 0.4, 0.03), (0.45, 0, 0.7)))
    return item.add(SCREEN, box((0.2, 0.12, 0.03), (-0.1, 0.33, 0.96)))


def printer(rng: np.random.Generator) -> Item:
    body = palette.plastic(rng)
    return Item("clutter").add(body, box((0.42, 0.4, 0.24)), box((0.3, 0.2, 0.02), (0, 0.05, 0.25)))


def projector(rng: np.random.Generator, drop: float) -> Item:
    """Make a projector on a pole; its origin is at the ceiling."""
    item = Item("clutter").add(palette.metal(rng), cylinder(0.02, drop, (0, 0, -drop), 8))
    return item.add(
        CERAMIC,
        box((0.34, 0.28, 0.12), (0, 0, -drop - 0.12)),
        cylinder(0.04, 0.1, (0.08, 0.15, -drop - 0.1), 10),
    )


def pendant_lamp(rng: np.random.Generator, drop: float) -> Item:
    """Make a lamp on a wire, a ball, a shade or a long box; its origin is at the ceiling."""
    bright = Material(texture=textures.paint, color=(0.97, 0.96, 0.9))
    item = Item("clutter").add(palette.metal(rng), cylinder(0.008, drop, (0, 0, -drop), 6))
    shapes = (
        pillow((0.35, 0.35, 0.35), (0, 0, -drop - 0.3), 1.0),
        lathe([(0.05, 0.25), (0.2, 0), (0.19, 0), (0.04, 0.24)], (0, 0, -drop - 0.2)),
        box((1.2, 0.12, 0.07), (0, 0, -drop - 0.06)),
    )
    return item.add(bright, shapes[rng.integers(3)])


def counter(rng: np.random.Generator, look: Palette, width: float) -> Item:
    """Make a reception desk: a table with a front panel and a raised shelf."""
    item = Item("table", top=0.76).add(look.wood, box((width, 0.75, 0.04), (0, 0, 0.72)))
    item.add(
        look.wood, box((width, 0.05, 1.08), (0, 0.36, 0)), box((width + 0.1, 0.3, 0.04), (0, 0.36, 1.08))
    )
    return item.add(
        look.wood, *[box((0.04, 0.7, 0.72), (x, 0, 0)) for x in (-width / 2 + 0.03, width / 2 - 0.03)]
    )
