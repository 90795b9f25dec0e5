"""Furniture of homes and offices with labels of the indoor taxonomy; sets of furniture by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from data_prep.synthetic import palette, seating, storage, tables, textures
from data_prep.synthetic.model import Item
from data_prep.synthetic.palette import Palette
from data_prep.synthetic.shapes import box, cylinder, pillow
from data_prep.synthetic.textures import Material


@dataclass(frozen=True, kw_only=True)
class FurnitureSet:
    """Builds of furniture.

    Args:
        chairs: Builds of side chairs: wooden, cantilever, shell.
        unders: What is below a table: legs, panels, columns, trestles, skids.
        wardrobe: Limits of the width of a wardrobe in meters.
        head: Limits of the height of the head of a bed.
        posts: Share of beds on legs instead of a closed base.
    """

    chairs: tuple[int, ...]
    unders: tuple[int, ...]
    wardrobe: tuple[float, float] = (0.9, 2.4)
    head: tuple[float, float] = (0.7, 1.1)
    posts: float = 0.5


FURNITURE: Mapping[str, FurnitureSet] = {
    "wooden": FurnitureSet(chairs=(0,), unders=(0, 3), head=(0.85, 1.25), posts=0.8),
    "tubular": FurnitureSet(chairs=(1,), unders=(4, 2), wardrobe=(0.8, 1.6), head=(0.6, 0.9), posts=1.0),
    "boxy": FurnitureSet(chairs=(2,), unders=(1,), wardrobe=(1.6, 3.0), head=(0.8, 1.1), posts=0.0),
    "mixed": FurnitureSet(chairs=(0, 1, 2), unders=(0, 1, 2, 3, 4)),
}
"""Furniture sets that can be held out by name."""


@dataclass(frozen=True)
class Style:
    """Materials and builds of one room."""

    look: Palette
    builds: FurnitureSet


Maker = Callable[[np.random.Generator, Style], list[Item]]
"""Makes the parts of one object, each with its own label; the first one is the largest."""


def labeled(label: str, item: Item) -> list[Item]:
    """Return the item under a label of the indoor taxonomy."""
    return [replace(item, label=label)]


def styled(label: str, make: Callable[[np.random.Generator, Palette], Item]) -> Maker:
    """Return a maker that labels what ``make`` builds of the materials of a room."""
    return lambda rng, style: labeled(label, make(rng, style.look))


def chair(rng: np.random.Generator, style: Style) -> list[Item]:
    build = int(rng.choice(style.builds.chairs))
    return labeled("chair", seating.side_chair(rng, style.look, build=build))


def stool(rng: np.random.Generator, style: Style) -> list[Item]:
    return labeled("chair", seating.stool(rng, style.look, rng.choice([0.45, 0.65, 0.75])))


def sofa(rng: np.random.Generator, style: Style) -> list[Item]:
    return labeled("sofa", seating.sofa(rng, style.look, rng.uniform(1.5, 2.6)))


def armchair(rng: np.random.Generator, style: Style) -> list[Item]:
    return labeled("armchair", seating.sofa(rng, style.look, rng.uniform(0.75, 1.0)))


office_chair = styled("chair", seating.office_chair)
ottoman = styled("ottoman", seating.pouf)


def _table(
    rng: np.random.Generator, style: Style, size: tuple[float, float, float], label: str
) -> list[Item]:
    under = int(rng.choice(style.builds.unders))
    return labeled(label, tables.table(rng, style.look, *size, under=under))


def dining_table(rng: np.random.Generator, style: Style) -> list[Item]:
    return _table(rng, style, (rng.uniform(0.8, 2.2), rng.uniform(0.75, 1.0), 0.74), "table")


def meeting_table(rng: np.random.Generator, style: Style) -> list[Item]:
    return _table(rng, style, (rng.uniform(1.8, 3.6), rng.uniform(0.9, 1.4), 0.74), "table")


def coffee_table(rng: np.random.Generator, style: Style) -> list[Item]:
    return _table(
        rng, style, (rng.uniform(0.6, 1.2), rng.uniform(0.45, 0.7), rng.uniform(0.35, 0.5)), "table"
    )


def desk(rng: np.random.Generator, style: Style) -> list[Item]:
    if rng.random() < 0.15:
        return labeled("desk", tables.corner_desk(rng, style.look, rng.uniform(1.2, 1.8)))
    return _table(rng, style, (rng.uniform(1.0, 1.8), rng.uniform(0.55, 0.8), 0.74), "desk")


def bookshelf(rng: np.random.Generator, style: Style) -> list[Item]:
    height = rng.choice([0.8, 1.2, 1.8, 2.1]) * rng.uniform(0.95, 1.05)
    return labeled("bookshelf", storage.bookcase(rng, style.look, rng.uniform(0.6, 1.8), height))


def rack(rng: np.random.Generator, style: Style) -> list[Item]:
    item = storage.rack(rng, style.look, rng.uniform(0.9, 2.0), rng.uniform(1.7, 2.2))
    return labeled("bookshelf", item)


def cabinet(rng: np.random.Generator, style: Style) -> list[Item]:
    height = rng.choice([0.74, 1.1, 1.5]) * rng.uniform(0.95, 1.05)
    return labeled("cabinet", storage.cupboard(rng, style.look, rng.uniform(0.6, 1.6), height))


def wardrobe(rng: np.random.Generator, style: Style) -> list[Item]:
    wide = rng.uniform(*style.builds.wardrobe)
    return labeled("cabinet", storage.cupboard(rng, style.look, wide, rng.uniform(1.8, 2.25)))


def dresser(rng: np.random.Generator, style: Style) -> list[Item]:
    return _drawers(rng, style, "dresser", rng.uniform(0.7, 1.4), rng.uniform(0.75, 1.1), 0.45)


def nightstand(rng: np.random.Generator, style: Style) -> list[Item]:
    return _drawers(rng, style, "nightstand", rng.uniform(0.38, 0.55), rng.uniform(0.4, 0.6), 0.4)


def _drawers(
    rng: np.random.Generator, style: Style, label: str, width: float, height: float, depth: float
) -> list[Item]:
    look = style.look
    body = look.wood if rng.random() < 0.6 else look.white
    case = Item(label, top=height).add(body, box((width, depth - 0.02, height - 0.05), (0, -0.01, 0.05)))
    rows = max(2, round(height / 0.24))
    tall = (height - 0.07) / rows
    for row in range(rows):
        z = 0.06 + row * tall
        case.add(body, box((width - 0.02, 0.02, tall - 0.015), (0, depth / 2, z)))
        case.add(look.steel, box((width * 0.3, 0.025, 0.02), (0, depth / 2 + 0.015, z + tall * 0.6)))
    return [case]


def bed(rng: np.random.Generator, style: Style) -> list[Item]:
    """Make a bed with mattress, duvet, pillows and head; its head is at the wall."""
    look, builds = style.look, style.builds
    wide, long = rng.choice([0.9, 1.2, 1.4, 1.6, 1.8]), rng.uniform(1.95, 2.1)
    base, soft = rng.uniform(0.22, 0.35), rng.uniform(0.16, 0.28)
    linen = Material(
        texture=textures.fabric, color=palette.pick(rng, [(0.85, 0.84, 0.82), *palette.CLOTHS], 0.15)
    )
    frame = look.wood if rng.random() < 0.7 else look.cloth
    item = Item("bed", top=base + soft)
    if rng.random() < builds.posts:
        item.add(frame, tables.posts(wide - 0.08, long - 0.08, base, 0.06, is_round=False))
        item.add(frame, box((wide, long, 0.1), (0, 0, base - 0.1)))
    else:
        item.add(frame, box((wide, long, base)))
    item.add(frame, box((wide + 0.06, 0.06, rng.uniform(*builds.head)), (0, -long / 2 - 0.03, 0)))
    sheet = replace(linen, color=palette.jitter(rng, (0.85, 0.84, 0.82)))
    item.add(sheet, pillow((wide - 0.02, long - 0.04, soft), (0, 0, base), 0.12))
    cover = long * rng.uniform(0.5, 0.72)
    duvet = pillow((wide + 0.08, cover, soft * 0.6), (0, (long - cover) / 2, base + soft * 0.5), 0.2)
    item.add(linen, duvet)
    number = 1 if wide < 1.3 else 2
    for k in range(number):
        x = (k + 0.5) * wide / number - wide / 2
        cushion = pillow((0.6, 0.4, 0.16), (0, 0, 0), 0.6).turned(rng.normal(0, 0.1))
        item.add(
            sheet if rng.random() < 0.5 else linen,
            cushion.moved((x, 0.3 - long / 2, base + soft - 0.03)),
        )
    return [item]


def bench(rng: np.random.Generator, style: Style) -> list[Item]:
    width = rng.uniform(0.9, 1.6)
    item = Item("chair").add(style.look.wood, box((width, 0.35, 0.04), (0, 0, 0.42)))
    item.add(style.look.steel, tables.posts(width - 0.1, 0.28, 0.42, 0.04, is_round=False))
    return [item]


def floor_lamp(rng: np.random.Generator, style: Style) -> list[Item]:
    shade = Material(texture=textures.paint, color=(0.9, 0.87, 0.78), glow=rng.choice([0.0, 0.8]))
    tall = rng.uniform(1.3, 1.8)
    item = Item("lamp").add(style.look.steel, cylinder(0.14, 0.03), cylinder(0.012, tall, steps=8))
    return [item.add(shade, cylinder(rng.uniform(0.13, 0.24), 0.28, (0, 0, tall - 0.2), 14))]
