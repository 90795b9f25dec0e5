"""Chairs and sofas of several builds, in the same cloths and woods."""

import numpy as np

from data_prep.synthetic import palette, textures
from data_prep.synthetic.model import Item
from data_prep.synthetic.palette import Palette
from data_prep.synthetic.shapes import bent_sheet, box, cylinder, ellipse, lathe, pillow, prism, rounded, tube
from data_prep.synthetic.tables import posts
from data_prep.synthetic.textures import Material

BLACK = Material(texture=textures.metal, color=(0.1, 0.1, 0.11))


def office_chair(rng: np.random.Generator, look: Palette) -> Item:
    """Make a swivel chair on a five-star base, with or without arms, with a low, high or mesh back."""
    seat, high = rng.uniform(0.43, 0.5), rng.uniform(0.35, 0.7)
    cover = look.cloth if rng.random() < 0.7 else BLACK
    chair = Item("chair")
    for k in range(5):
        angle = k * 2 * np.pi / 5
        chair.add(look.steel, box((0.28, 0.045, 0.035), (0.15, 0, 0.06)).turned(angle))
        chair.add(BLACK, cylinder(0.03, 0.06, (0.28, 0, 0), 8).turned(angle))
    chair.add(look.steel, cylinder(0.03, seat - 0.1, (0, 0, 0.06), 10))
    chair.add(cover, pillow((0.5, 0.48, 0.09), (0, 0.02, seat - 0.05), rng.uniform(0.25, 0.6)))
    z = np.linspace(seat + 0.1, seat + 0.1 + high, 7)
    y = -0.23 - 0.1 * ((z - z[0]) / high - 0.3) ** 2
    width = rng.uniform(0.38, 0.48)
    chair.add(
        cover, bent_sheet(np.column_stack([y, z]), width, rng.uniform(0.02, 0.07), rng.uniform(0.02, 0.07))
    )
    chair.add(BLACK, box((0.06, 0.03, 0.25), (0, -0.25, seat - 0.05)))
    if rng.random() < 0.6:
        for x in (-0.28, 0.28):
            chair.add(
                BLACK,
                box((0.05, 0.26, 0.03), (x, -0.02, seat + 0.2)),
                box((0.03, 0.05, 0.22), (x, -0.02, seat)),
            )
    return chair


def side_chair(rng: np.random.Generator, look: Palette, *, build: int | None = None) -> Item:
    """Make a fixed chair: of wood, on a bent tube, or a shell on legs; ``build`` chooses by position."""
    seat = rng.uniform(0.42, 0.47)
    cover = [look.wood, look.cloth, palette.plastic(rng)][rng.integers(3)]
    kind = rng.integers(3) if build is None else build
    return [_wooden, _cantilever, _shell][kind](rng, look, cover, seat)


def _wooden(rng: np.random.Generator, look: Palette, cover: Material, seat: float) -> Item:
    back = rng.uniform(0.35, 0.5)
    chair = Item("chair").add(cover, prism(rounded(0.42, 0.42, 0.05), 0.03, (0, 0, seat - 0.03)))
    chair.add(look.wood, posts(0.36, 0.36, seat - 0.03, 0.035, is_round=rng.random() < 0.5))
    chair.add(look.wood, *[box((0.035, 0.035, back), (x, -0.18, seat)) for x in (-0.18, 0.18)])
    if rng.random() < 0.5:
        return chair.add(
            look.wood, *[box((0.36, 0.02, 0.06), (0, -0.18, seat + z)) for z in (0.12, 0.24, back - 0.06)]
        )
    chair.add(look.wood, *[box((0.025, 0.015, back), (x, -0.18, seat)) for x in (-0.1, -0.03, 0.04, 0.11)])
    return chair.add(look.wood, box((0.4, 0.03, 0.06), (0, -0.18, seat + back - 0.04)))


def _cantilever(rng: np.random.Generator, look: Palette, cover: Material, seat: float) -> Item:
    chair = Item("chair")
    for x in (-0.22, 0.22):
        yz = [
            (-0.2, 0.015),
            (0.2, 0.015),
            (0.23, seat - 0.1),
            (0.18, seat),
            (-0.2, seat),
            (-0.27, seat + 0.42),
        ]
        chair.add(look.steel, tube(np.array([(x, *point) for point in yz]), 0.014))
    chair.add(cover, box((0.42, 0.42, 0.035), (0, 0, seat)))
    curve = np.array([(-0.22, seat + 0.16), (-0.25, seat + 0.28), (-0.26, seat + 0.42)])
    return chair.add(cover, bent_sheet(curve, 0.43, 0.03, 0.02))


def _shell(rng: np.random.Generator, look: Palette, cover: Material, seat: float) -> Item:
    yz = [
        (0.22, -0.03),
        (0.15, 0),
        (-0.12, -0.01),
        (-0.2, 0.05),
        (-0.24, 0.2),
        (-0.27, rng.uniform(0.33, 0.45)),
    ]
    curve = np.array([(y, seat + z) for y, z in yz])
    chair = Item("chair").add(
        cover, bent_sheet(curve, rng.uniform(0.42, 0.52), 0.015, rng.uniform(0.03, 0.08))
    )
    return chair.add(look.steel, posts(0.34, 0.32, seat - 0.05, 0.025, is_round=True))


def stool(rng: np.random.Generator, look: Palette, seat: float = 0.65) -> Item:
    """Make a bar stool on a plate or on three legs."""
    chair = Item("chair").add(look.wood, prism(ellipse(0.36, 0.36), 0.05, (0, 0, seat - 0.05)))
    if rng.random() < 0.5:
        return chair.add(
            look.steel, lathe([(0, 0), (0.2, 0), (0.19, 0.02), (0.03, 0.04), (0.03, seat - 0.05)])
        )
    for k in range(3):
        leg = np.array([[0.2, 0, 0], [0.15, 0, seat * 0.5], [0.1, 0, seat - 0.04]])
        chair.add(look.steel, tube(leg, 0.015).turned(k * 2 * np.pi / 3))
    return chair


def sofa(rng: np.random.Generator, look: Palette, width: float) -> Item:
    """Make a sofa or, if narrow, an armchair: soft or boxy, on the floor or on feet, with or without arms."""
    depth, seat, back = rng.uniform(0.75, 0.95), rng.uniform(0.38, 0.45), rng.uniform(0.68, 0.9)
    lift, power = rng.choice([0.03, 0.12]), rng.uniform(0.12, 0.45)
    arm = rng.uniform(0.1, 0.22) if rng.random() < 0.85 else 0.0
    item = Item("sofa")
    if lift > 0.1:
        item.add(look.steel, posts(width * 0.85, depth * 0.75, lift + 0.05, 0.04, is_round=True))
    item.add(look.cloth, pillow((width, depth, seat - 0.1 - lift), (0, 0, lift), 0.12))
    item.add(look.cloth, pillow((width, 0.22, back - lift), (0, 0.11 - depth / 2, lift), power))
    if arm:
        tall = rng.uniform(0.5, 0.65) - lift
        for x in (arm / 2 - width / 2, width / 2 - arm / 2):
            item.add(look.cloth, pillow((arm, depth, tall), (x, 0, lift), power))
    room = width - 2 * arm
    seats = max(1, round(room / 0.65))
    for k in range(seats):
        x = (k + 0.5) * room / seats - room / 2
        item.add(look.cloth, pillow((room / seats, depth - 0.25, 0.16), (x, 0.1, seat - 0.1), 0.3))
        if rng.random() < 0.4:
            pad = (
                pillow((0.42, 0.14, 0.38), (0, 0, 0), 0.6)
                .turned(0.3, 0)
                .moved((x, 0.28 - depth / 2, seat + 0.02))
            )
            item.add(palette.cloth(rng) if rng.random() < 0.4 else look.cloth, pad)
    return item


def pouf(rng: np.random.Generator, look: Palette) -> Item:
    """Make a round or square seat without a back, for a group of sofas."""
    wide, tall = rng.uniform(0.45, 0.7), rng.uniform(0.38, 0.44)
    outline = ellipse(wide, wide) if rng.random() < 0.6 else rounded(wide, wide, 0.06)
    item = Item("sofa").add(look.cloth, prism(outline, tall - 0.08, (0, 0, 0.02)))
    return item.add(look.cloth, pillow((wide, wide, 0.12), (0, 0, tall - 0.1), 0.6))
