"""Fittings of kitchens, bathrooms, shops and workshops, things on walls and ceilings, people."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from data_prep.indoor.furniture import Maker, Style, labeled, styled
from data_prep.synthetic import clutter, fixtures, hangings, palette, storage, tables, textures
from data_prep.synthetic.model import Item
from data_prep.synthetic.openings import frame
from data_prep.synthetic.shapes import Mesh, box, cylinder, ellipse, grid, lathe, pillow, prism
from data_prep.synthetic.textures import Material

CERAMIC = replace(fixtures.CERAMIC, gloss=0.5)


def small(label: str, make: Callable[[np.random.Generator], Item]) -> Maker:
    """Return a maker that labels what ``make`` builds."""
    return lambda rng, style: labeled(label, make(rng))


def kitchen_row(rng: np.random.Generator, style: Style) -> list[Item]:
    """Make base units with worktop and sink, a stove, and wall units above."""
    look, width = style.look, rng.uniform(1.4, 3.2)
    front = look.white if rng.random() < 0.6 else look.wood
    units = Item("kitchen cabinet").add(front, box((width, 0.56, 0.8), (0, -0.02, 0.06)))
    doors = max(2, round(width / 0.6))
    wide = width / doors
    for k in range(doors):
        x = (k + 0.5) * wide - width / 2
        units.add(front, box((wide - 0.012, 0.02, 0.74), (x, 0.27, 0.08)))
        units.add(look.steel, box((0.14, 0.03, 0.015), (x, 0.29, 0.76)))
    top = Item("counter", top=0.9).add(look.wood, box((width, 0.6, 0.04), (0, 0, 0.86)))
    basin = (wide * 0.5 - width / 2) * rng.choice([-1, 1])
    steel = replace(look.steel, gloss=0.6)
    bowl = Item("sink").add(steel, box((0.5, 0.42, 0.008), (basin, 0, 0.902)))
    bowl.add(steel, box((0.36, 0.32, 0.012), (basin, 0, 0.9)), cylinder(0.015, 0.28, (basin, -0.2, 0.9), 8))
    bowl.add(steel, box((0.025, 0.18, 0.025), (basin, -0.12, 1.17)))
    black = Material(texture=textures.metal, color=(0.06, 0.06, 0.07), gloss=0.6)
    stove = Item("appliance").add(black, box((0.58, 0.5, 0.008), (-basin, 0, 0.902)))
    stove.add(black, box((0.56, 0.025, 0.6), (-basin, 0.275, 0.14)))
    parts = [units, top, bowl, stove]
    if rng.random() < 0.75:
        deep, tall = rng.uniform(0.3, 0.38), rng.uniform(0.55, 0.85)
        upper = Item("kitchen cabinet").add(front, box((width, deep, tall), (0, deep / 2 - 0.3, 1.42)))
        for k in range(doors):
            x = (k + 0.5) * wide - width / 2
            upper.add(front, box((wide - 0.012, 0.02, tall - 0.02), (x, deep - 0.29, 1.43)))
        parts.append(upper)
    return parts


def tall_unit(rng: np.random.Generator, style: Style) -> list[Item]:
    wide, tall = rng.uniform(0.6, 1.2), rng.uniform(1.9, 2.2)
    return labeled("kitchen cabinet", storage.cupboard(rng, style.look, wide, tall))


def washing_machine(rng: np.random.Generator, style: Style) -> list[Item]:
    body = Material(texture=textures.metal, color=palette.jitter(rng, (0.85, 0.85, 0.85), 0.05), gloss=0.3)
    glass = Material(texture=textures.metal, color=(0.15, 0.16, 0.18), gloss=0.6)
    door = lathe([(0, 0), (0.17, 0), (0.15, 0.03), (0, 0.02)]).turned(-np.pi / 2, 0).moved((0, 0.29, 0.45))
    return [Item("appliance", top=0.85).add(body, box((0.6, 0.58, 0.85))).add(glass, door)]


def washbasin(rng: np.random.Generator, style: Style) -> list[Item]:
    return labeled("sink", fixtures.basin(rng, style.look, rng.uniform(0.5, 1.3)))


def bathtub(rng: np.random.Generator, style: Style) -> list[Item]:
    """Make a tub with an open inside, in some bathrooms with a shower curtain along its side."""
    long, wide, tall = rng.uniform(1.5, 1.8), rng.uniform(0.7, 0.8), rng.uniform(0.52, 0.62)
    rim, item = 0.07, Item("bathtub")
    item.add(CERAMIC, *[box((long, rim, tall), (0, y * (wide - rim) / 2, 0)) for y in (-1, 1)])
    item.add(CERAMIC, *[box((rim, wide, tall), (x * (long - rim) / 2, 0, 0)) for x in (-1, 1)])
    item.add(CERAMIC, box((long, wide, 0.14)))
    if rng.random() < 0.5:
        cloth = Material(
            texture=textures.fabric, color=palette.pick(rng, [(0.85, 0.85, 0.83), *palette.CLOTHS], 0.2)
        )
        sheet = folds(rng, long * rng.uniform(0.3, 0.95), 1.75).moved((0, wide / 2 + 0.03, 0.2))
        return [item, Item("shower curtain").add(cloth, sheet)]
    return [item]


def shower(rng: np.random.Generator, style: Style) -> list[Item]:
    glass = Material(texture=textures.sky, color=(0.75, 0.8, 0.8), accent=(0.6, 0.65, 0.65), dropout=0.7)
    wide = rng.uniform(0.8, 1.1)
    item = Item("shower").add(CERAMIC, box((wide, wide, 0.1)))
    item.add(glass, box((wide, 0.01, 1.9), (0, wide / 2, 0.1)), box((0.01, wide, 1.9), (wide / 2, 0, 0.1)))
    return [item.add(style.look.steel, cylinder(0.015, 1.9, (wide / 2, wide / 2, 0.1), 8))]


def folds(rng: np.random.Generator, width: float, height: float) -> Mesh:
    """Return a hanging cloth with folds, its middle at the origin."""
    x = np.linspace(-width / 2, width / 2, 48)
    y = rng.uniform(0.02, 0.05) * np.sin(x * 2 * np.pi / rng.uniform(0.1, 0.2))
    rows = [np.column_stack([x, y * scale, np.full(len(x), z)]) for z, scale in ((0, 1.0), (height, 0.6))]
    return grid(np.stack(rows))


def workbench(rng: np.random.Generator, style: Style) -> list[Item]:
    width, depth = rng.uniform(1.4, 2.4), rng.uniform(0.6, 0.8)
    item = Item("table", top=0.9).add(style.look.wood, box((width, depth, 0.06), (0, 0, 0.84)))
    item.add(style.look.steel, tables.posts(width - 0.12, depth - 0.1, 0.84, 0.08, is_round=False))
    return [item.add(style.look.steel, box((width - 0.1, depth - 0.1, 0.03), (0, 0, 0.2)))]


def machine(rng: np.random.Generator, style: Style) -> list[Item]:
    """Make a drill press, a saw or a cabinet with switches."""
    paint = Material(
        texture=textures.metal, color=palette.pick(rng, [(0.2, 0.4, 0.3), *palette.PLASTICS], 0.15)
    )
    item, size = Item("machine"), rng.uniform([0.5, 0.5, 0.7], [1.2, 0.9, 1.1])
    item.add(paint, box(size))
    if rng.random() < 0.6:
        item.add(paint, cylinder(0.06, 0.9, (0, -0.1, size[2]), 12))
        item.add(style.look.steel, box((0.3, 0.55, 0.3), (0, 0, size[2] + 0.65)))
    return [item.add(clutter.BLACK, box((0.2, 0.02, 0.15), (0.1, size[1] / 2, size[2] * 0.7)))]


def gondola(rng: np.random.Generator, style: Style) -> list[Item]:
    """Make a shelf of a shop that is filled from both sides."""
    width, height, look = rng.uniform(1.2, 3.0), rng.uniform(1.3, 1.9), style.look
    goods = Material(texture=textures.books, color=(0.5, 0.4, 0.3), scale=rng.uniform(0.25, 0.4))
    item = Item("bookshelf", top=height).add(look.white, box((width, 0.04, height)), box((width, 0.9, 0.15)))
    for z in np.arange(0.15, height - 0.15, 0.38):
        item.add(look.white, box((width, 0.8, 0.03), (0, 0, z)))
        for y in (-0.2, 0.2):
            if rng.random() < 0.85:
                item.add(
                    goods,
                    box((width * rng.uniform(0.6, 0.96), 0.28, rng.uniform(0.15, 0.3)), (0, y, z + 0.03)),
                )
    return [item]


def counter(rng: np.random.Generator, style: Style) -> list[Item]:
    return labeled("counter", fixtures.counter(rng, style.look, rng.uniform(1.4, 2.6)))


def board(rng: np.random.Generator, style: Style) -> list[Item]:
    """Make a writing board, up to 3.6 m wide, whose face shines and stands 7 to 30 mm out."""
    width, height, relief = rng.uniform(1.0, 3.6), rng.uniform(0.9, 1.3), rng.uniform(0.007, 0.03)
    face = [(0.93, 0.93, 0.93), (0.12, 0.22, 0.17), (0.6, 0.45, 0.3)][rng.choice(3, p=[0.75, 0.15, 0.1])]
    inked = Material(
        texture=textures.ink,
        color=palette.jitter(rng, face),
        accent=(0.2, 0.25, 0.45),
        gloss=rng.uniform(0.2, 1.2),
    )
    item = Item("board").add(inked, box((width, relief, height), (0, relief / 2, 0)))
    item.add(style.look.trim, frame(width, height, 0.03, relief + 0.006))
    return [item.add(style.look.trim, box((width * 0.6, 0.07, 0.015), (0, 0.035, 0)))]


def mirror(rng: np.random.Generator, style: Style) -> list[Item]:
    return labeled("mirror", hangings.mirror(rng, style.look, rng.uniform(0.4, 1.2)))


def pendant(rng: np.random.Generator, style: Style) -> list[Item]:
    """Make a hanging lamp; its origin is at the ceiling."""
    item = fixtures.pendant_lamp(rng, rng.uniform(0.25, 0.8))
    bright = [replace(part, material=replace(part.material, glow=0.9)) for part in item.surfaces[1:]]
    return [replace(item, label="lamp", surfaces=[item.surfaces[0], *bright])]


def person(rng: np.random.Generator, style: Style) -> list[Item]:
    """Make a standing person."""
    tall = rng.uniform(1.55, 1.9) / 1.75
    shirt, trousers = palette.cloth(rng), palette.cloth(rng)
    skin = Material(
        texture=textures.paint, color=palette.pick(rng, [(0.8, 0.6, 0.5), (0.45, 0.3, 0.22)], 0.2)
    )
    item = Item("person").add(
        trousers, *[prism(ellipse(0.15, 0.17, 10), 0.85 * tall, (x, 0, 0)) for x in (-0.1, 0.1)]
    )
    item.add(shirt, pillow((0.44, 0.26, 0.66 * tall), (0, 0, 0.82 * tall), 0.6))
    item.add(shirt, *[pillow((0.11, 0.13, 0.62 * tall), (x, 0, 0.78 * tall), 0.7) for x in (-0.27, 0.27)])
    return [item.add(skin, pillow((0.17, 0.2, 0.25 * tall), (0, 0.01, 1.5 * tall), 0.9))]


fridge = styled("refrigerator", fixtures.fridge)
picture = styled("picture", hangings.picture)
toilet = small("toilet", fixtures.toilet)
television = small("television", hangings.television)
monitor = small("monitor", clutter.monitor)
plant = small("plant", clutter.plant)
trash_can = small("trash can", clutter.waste_bin)
carton = small("box", clutter.carton)
copier = small("machine", fixtures.copier)
vending_machine = small("machine", fixtures.vending_machine)
microwave = small("appliance", fixtures.microwave)
coffee_machine = small("appliance", fixtures.coffee_machine)
desk_lamp = small("lamp", clutter.desk_lamp)
ON_DESK = tuple(small("clutter", make) for make in (*clutter.ON_DESK, clutter.computer))
ON_SHELF = (small("clutter", clutter.stack), small("clutter", clutter.bottle), carton, desk_lamp)
ON_WORKTOP = (microwave, coffee_machine, small("clutter", clutter.bottle), small("clutter", clutter.mug))
ON_FLOOR = (trash_can, carton, plant, small("clutter", clutter.bag), small("clutter", clutter.coat_stand),
            small("clutter", clutter.fan))  # fmt: skip
HANGING = (picture, picture, small("clutter", hangings.clock), small("clutter", hangings.extinguisher))
