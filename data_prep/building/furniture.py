"""Tables, chairs, sofas and bookcases of several builds."""

import numpy as np

from data_prep.building import palette, textures
from data_prep.building.model import Thing
from data_prep.building.palette import Palette
from data_prep.building.shapes import (
    bent_sheet,
    box,
    cylinder,
    ellipse,
    join,
    lathe,
    pillow,
    prism,
    rounded,
    tube,
)
from data_prep.building.textures import Material


def _legs(width: float, depth: float, height: float, thick: float, round_: bool):
    spots = [(x, y) for x in (-width / 2, width / 2) for y in (-depth / 2, depth / 2)]
    if round_:
        return join([cylinder(thick / 2, height, (x, y, 0), 10) for x, y in spots])
    return join([box((thick, thick, height), (x, y, 0)) for x, y in spots])


def table(rng: np.random.Generator, look: Palette, width: float, depth: float, height: float = 0.74) -> Thing:
    """A table: four legs, panel sides, a pedestal or trestles; straight, rounded or oval top."""
    thick = rng.uniform(0.02, 0.045)
    top_material = look.wood if rng.random() < 0.7 else look.white
    outline = [
        rounded(width, depth, 0.01),
        rounded(width, depth, rng.uniform(0.05, 0.2)),
        ellipse(width, depth),
    ][rng.choice(3, p=[0.5, 0.3, 0.2])]
    thing = Thing("table", top=height).add(top_material, prism(outline, thick, (0, 0, height - thick)))
    kind = rng.integers(4)
    under = height - thick
    if kind == 0:
        thing.add(look.steel, _legs(width * 0.82, depth * 0.7, under, 0.045, bool(rng.integers(2))))
    elif kind == 1:
        sides = [box((0.03, depth * 0.85, under), (x, 0, 0)) for x in (-width * 0.42, width * 0.42)]
        thing.add(top_material, *sides, box((width * 0.8, 0.02, 0.35), (0, -depth * 0.25, under - 0.36)))
    elif kind == 2:
        for x in (-width * 0.3, width * 0.3) if width > 1.3 else (0.0,):
            foot = [(0, 0), (0.3, 0), (0.28, 0.025), (0.05, 0.05), (0.045, under), (0, under)]
            thing.add(look.steel, lathe(foot, (x, 0, 0)))
    else:
        for x in (-width * 0.38, width * 0.38):
            thing.add(
                look.steel, box((0.06, depth * 0.75, 0.04), (x, 0, 0)), box((0.06, 0.08, under), (x, 0, 0))
            )
    return thing


def office_chair(rng: np.random.Generator, look: Palette) -> Thing:
    """A swivel chair on a five-armed foot."""
    seat, black = rng.uniform(0.43, 0.5), Material(texture=textures.metal, color=(0.1, 0.1, 0.11))
    chair = Thing("chair")
    arms = [box((0.28, 0.045, 0.035), (0.15, 0, 0.06)).turned(k * 2 * np.pi / 5) for k in range(5)]
    wheels = [cylinder(0.03, 0.06, (0.28, 0, 0), 8).turned(k * 2 * np.pi / 5) for k in range(5)]
    chair.add(look.steel, *arms, cylinder(0.03, seat - 0.1, (0, 0, 0.06), 10)).add(black, *wheels)
    chair.add(look.cloth, pillow((0.5, 0.48, 0.09), (0, 0.02, seat - 0.05), 0.4))
    high = rng.uniform(0.4, 0.65)
    z = np.linspace(seat + 0.1, seat + 0.1 + high, 7)
    y = -0.23 - 0.1 * ((z - z[0]) / high - 0.3) ** 2
    chair.add(look.cloth, bent_sheet(np.column_stack([y, z]), 0.44, 0.05, 0.05))
    chair.add(black, box((0.06, 0.03, 0.25), (0, -0.25, seat - 0.05)))
    if rng.random() < 0.6:
        for x in (-0.28, 0.28):
            chair.add(
                black,
                box((0.05, 0.26, 0.03), (x, -0.02, seat + 0.2)),
                box((0.03, 0.05, 0.22), (x, -0.02, seat)),
            )
    return chair


def side_chair(rng: np.random.Generator, look: Palette) -> Thing:
    """A chair on four legs, on a bent tube, or a shell."""
    chair, seat = Thing("chair"), rng.uniform(0.42, 0.47)
    cover = [look.wood, look.cloth, palette.plastic(rng)][rng.integers(3)]
    kind = rng.integers(3)
    if kind == 0:
        chair.add(cover, prism(rounded(0.42, 0.42, 0.05), 0.03, (0, 0, seat - 0.03)))
        chair.add(cover, _legs(0.36, 0.36, seat, 0.035, False))
        chair.add(cover, *[box((0.035, 0.035, 0.45), (x, -0.18, seat)) for x in (-0.18, 0.18)])
        chair.add(cover, *[box((0.36, 0.02, 0.06), (0, -0.18, seat + dz)) for dz in (0.12, 0.24, 0.37)])
    elif kind == 1:
        for x in (-0.22, 0.22):
            path = [
                (x, -0.2, 0.02),
                (x, 0.2, 0.02),
                (x, 0.22, seat - 0.1),
                (x, 0.18, seat),
                (x, -0.2, seat),
                (x, -0.27, seat + 0.42),
            ]
            chair.add(look.steel, tube(np.array(path), 0.013))
        chair.add(
            cover, box((0.42, 0.42, 0.035), (0, 0, seat)), box((0.42, 0.03, 0.24), (0, -0.25, seat + 0.2))
        )
    else:
        curve = [
            (0.22, seat - 0.03),
            (0.15, seat),
            (-0.12, seat - 0.01),
            (-0.2, seat + 0.05),
            (-0.24, seat + 0.2),
            (-0.27, seat + 0.4),
        ]
        chair.add(cover, bent_sheet(np.array(curve), 0.46, 0.015, 0.05))
        chair.add(look.steel, _legs(0.36, 0.34, seat - 0.06, 0.025, True))
    return chair


def sofa(rng: np.random.Generator, look: Palette, width: float) -> Thing:
    """A sofa or, if narrow, an armchair: soft or boxy."""
    depth, seat, back, arm = (
        rng.uniform(0.75, 0.95),
        rng.uniform(0.38, 0.45),
        rng.uniform(0.7, 0.9),
        rng.uniform(0.1, 0.22),
    )
    power = rng.uniform(0.15, 0.45)
    thing = Thing("sofa")
    thing.add(look.cloth, pillow((width, depth, seat - 0.1), (0, 0, 0.05), 0.12))
    thing.add(look.cloth, pillow((width, 0.22, back - 0.1), (0, 0.11 - depth / 2, 0.1), power))
    if rng.random() < 0.85:
        for x in (arm / 2 - width / 2, width / 2 - arm / 2):
            thing.add(look.cloth, pillow((arm, depth, rng.uniform(0.5, 0.65)), (x, 0, 0.02), power))
    room = width - 2 * arm
    seats = max(1, round(room / 0.65))
    for k in range(seats):
        x = (k + 0.5) * room / seats - room / 2
        thing.add(look.cloth, pillow((room / seats, depth - 0.25, 0.16), (x, 0.1, seat - 0.1), 0.3))
    return thing


def bookcase(rng: np.random.Generator, look: Palette, width: float, height: float) -> Thing:
    """Open shelves with books, some of them behind doors."""
    depth, thick = rng.uniform(0.28, 0.42), 0.025
    body = look.wood if rng.random() < 0.6 else look.white
    case = Thing("bookcase", top=height if height < 1.3 else None)
    case.add(
        body,
        *[box((thick, depth, height), (x, 0, 0)) for x in (-width / 2 + thick / 2, width / 2 - thick / 2)],
    )
    case.add(
        body,
        box((width, 0.012, height), (0, 0.006 - depth / 2, 0)),
        box((width, depth, thick), (0, 0, height - thick)),
    )
    number = max(2, round(height / 0.36))
    gap = (height - 0.08) / number
    spines = Material(texture=textures.books, color=(0.5, 0.4, 0.3), scale=gap)
    closed = number // 2 if rng.random() < 0.3 else 0
    for k in range(number):
        z = 0.06 + k * gap
        case.add(body, box((width - 2 * thick, depth - 0.01, thick), (0, 0, z)))
        if k < closed:
            case.add(body, box((width - 0.01, 0.02, gap - 0.01), (0, depth / 2 - 0.01, z)))
        elif rng.random() < 0.85:
            fill = rng.uniform(0.5, 0.98) * (width - 2 * thick)
            x = rng.uniform(-1, 1) * (width - 2 * thick - fill) / 2
            tall, deep = gap * rng.uniform(0.6, 0.85), depth * rng.uniform(0.5, 0.75)
            case.add(spines, box((fill, deep, tall), (x, deep / 2 - depth / 2 + 0.02, z + thick)))
    return case
