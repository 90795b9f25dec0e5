"""Everything else in a room, all of the class clutter."""

import numpy as np

from data_prep.building import palette, textures
from data_prep.building.model import Thing
from data_prep.building.shapes import box, cylinder, lathe, pillow
from data_prep.building.textures import Material

BLACK = Material(texture=textures.metal, color=(0.08, 0.08, 0.09))


def monitor(rng: np.random.Generator) -> Thing:
    width = rng.uniform(0.42, 0.62)
    height = width * 0.6
    screen = Material(texture=textures.picture, color=(0.06, 0.07, 0.1), scale=rng.uniform(0.05, 0.15))
    thing = Thing("clutter").add(BLACK, cylinder(0.11, 0.015), box((0.05, 0.03, 0.15)))
    thing.add(BLACK, box((width, 0.03, height), (0, 0, 0.12)))
    return thing.add(screen, box((width - 0.03, 0.004, height - 0.03), (0, 0.017, 0.135)))


def keyboard(rng: np.random.Generator) -> Thing:
    return Thing("clutter").add(palette.plastic(rng), box((0.44, 0.15, 0.025)))


def stack(rng: np.random.Generator) -> Thing:
    """Books or papers on top of each other."""
    thing, z = Thing("clutter"), 0.0
    for _ in range(rng.integers(1, 6)):
        tall = rng.uniform(0.015, 0.05)
        paper = Material(
            texture=textures.paint, color=palette.pick(rng, [(0.9, 0.9, 0.88), *palette.CLOTHS], 0.2)
        )
        thing.add(paper, box((0.21, 0.29, tall), (0, 0, z)).turned(rng.uniform(-0.3, 0.3)))
        z += tall
    return thing


def bin_(rng: np.random.Generator) -> Thing:
    radius, tall = rng.uniform(0.13, 0.2), rng.uniform(0.3, 0.5)
    return Thing("clutter").add(
        palette.plastic(rng),
        lathe(
            [
                (0, 0.01),
                (radius * 0.8, 0),
                (radius, tall),
                (radius * 0.95, tall),
                (radius * 0.76, 0.02),
                (0, 0.02),
            ]
        ),
    )


def carton(rng: np.random.Generator) -> Thing:
    card = Material(texture=textures.metal, color=palette.jitter(rng, (0.62, 0.47, 0.3), 0.1))
    return Thing("clutter", top=None).add(card, box(rng.uniform(0.25, 0.55, 3)))


def plant(rng: np.random.Generator) -> Thing:
    pot = [(0, 0), (0.12, 0), (0.17, 0.3), (0.15, 0.3), (0.14, 0.25), (0, 0.25)]
    leaf = Material(
        texture=textures.fabric, color=palette.jitter(rng, (0.15, 0.35, 0.1), 0.2), accent=(0.05, 0.15, 0.04)
    )
    thing = Thing("clutter").add(palette.plastic(rng), lathe(pot))
    for _ in range(9):
        size = rng.uniform(0.12, 0.4, 3)
        spot = (*rng.normal(0, 0.12, 2), rng.uniform(0.3, 1.0))
        thing.add(leaf, pillow(size * [1, 1, 1.3], spot, 1.0, 8))
    return thing


def bag(rng: np.random.Generator) -> Thing:
    return Thing("clutter").add(palette.cloth(rng), pillow((0.35, 0.2, 0.42), power=0.6))


ON_DESK = (monitor, keyboard, stack)
ON_FLOOR = (bin_, carton, plant, bag)
