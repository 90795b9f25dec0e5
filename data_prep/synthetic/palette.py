"""Colors and materials of one room, drawn so that rooms differ and classes share colors."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from data_prep.synthetic import textures
from data_prep.synthetic.textures import Material

Color = tuple[float, float, float]


def jitter(rng: np.random.Generator, color: Color | np.ndarray, spread: float = 0.05) -> Color:
    """Return ``color`` a little brighter or darker and with a slight tint."""
    shifted = np.asarray(color) * (1 + rng.normal(0, spread)) + rng.normal(0, spread / 8, 3)
    r, g, b = np.clip(shifted, 0.02, 0.98)
    return float(r), float(g), float(b)


def pick(rng: np.random.Generator, colors: list[Color], spread: float = 0.08) -> Color:
    return jitter(rng, colors[rng.integers(len(colors))], spread)


WALLS: list[Color] = [
    (0.79, 0.78, 0.75),
    (0.76, 0.72, 0.62),
    (0.66, 0.71, 0.74),
    (0.78, 0.7, 0.6),
    (0.7, 0.74, 0.66),
]
CAMOUFLAGE = 0.3
"""Share of rooms in which hangings, beams and columns have the color of the wall."""
WOODS: list[Color] = [
    (0.62, 0.44, 0.27),
    (0.48, 0.32, 0.2),
    (0.75, 0.6, 0.42),
    (0.35, 0.22, 0.15),
    (0.8, 0.7, 0.55),
]
CLOTHS: list[Color] = [
    (0.12, 0.12, 0.14), (0.2, 0.25, 0.45), (0.5, 0.12, 0.12), (0.35, 0.35, 0.36), (0.15, 0.35, 0.25),
    (0.6, 0.5, 0.35), (0.7, 0.35, 0.1), (0.25, 0.15, 0.1),
]  # fmt: skip
DOORS: list[Color] = [
    (0.32, 0.38, 0.5),
    (0.5, 0.24, 0.18),
    (0.24, 0.33, 0.28),
    (0.3, 0.3, 0.32),
    (0.6, 0.5, 0.3),
]
METALS: list[Color] = [(0.55, 0.56, 0.58), (0.15, 0.15, 0.16), (0.75, 0.75, 0.76)]
PLASTICS: list[Color] = [
    (0.85, 0.85, 0.83),
    (0.1, 0.1, 0.11),
    (0.4, 0.42, 0.45),
    (0.2, 0.3, 0.5),
    (0.6, 0.2, 0.15),
]


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Materials that the objects of one room share."""

    wall: Material
    ceiling: Material
    floor: Material
    trim: Material
    skirting: Material
    wood: Material
    steel: Material
    cloth: Material
    white: Material
    column: Material


def wood(rng: np.random.Generator) -> Material:
    color = pick(rng, WOODS)
    dark = tuple(0.72 * value for value in color)
    return Material(texture=textures.wood, color=color, accent=dark, scale=rng.uniform(0.05, 0.12))


def cloth(rng: np.random.Generator) -> Material:
    color = pick(rng, CLOTHS, 0.15)
    return Material(texture=textures.fabric, color=color, accent=jitter(rng, color, 0.3))


def metal(rng: np.random.Generator) -> Material:
    return Material(texture=textures.metal, color=pick(rng, METALS))


def plastic(rng: np.random.Generator) -> Material:
    return Material(texture=textures.metal, color=pick(rng, PLASTICS, 0.12))


def _floor(rng: np.random.Generator) -> Material:
    kind = rng.integers(4)
    if kind == 0:
        color = pick(rng, [(0.35, 0.36, 0.4), (0.45, 0.4, 0.33), (0.3, 0.35, 0.33)])
        return Material(texture=textures.carpet, color=color, accent=jitter(rng, color, 0.4))
    if kind == 1:
        color = pick(rng, [(0.62, 0.6, 0.55), (0.5, 0.48, 0.45), (0.7, 0.68, 0.62)])
        return Material(
            texture=textures.tiles, color=color, accent=(0.3, 0.29, 0.27), scale=rng.uniform(0.3, 0.6)
        )
    if kind == 2:
        color = pick(rng, WOODS)
        return Material(texture=textures.planks, color=color, accent=jitter(rng, color, 0.2), scale=0.12)
    color = pick(rng, [(0.6, 0.58, 0.55), (0.5, 0.52, 0.5)])
    return Material(texture=textures.speckle, color=color, accent=jitter(rng, color, 0.4))


def draw_palette(rng: np.random.Generator) -> Palette:
    """Sample the materials of a room."""
    wall = pick(rng, WALLS, 0.04)
    # in a camouflaged room, color alone reveals neither hangings nor beams and columns
    camouflaged = rng.random() < CAMOUFLAGE
    white = jitter(rng, wall if camouflaged else (0.95, 0.95, 0.95), 0.03)
    concrete = jitter(rng, (0.5, 0.5, 0.48))
    bare = Material(texture=textures.speckle, color=concrete, accent=jitter(rng, concrete, 0.3))
    if rng.random() < 0.5:
        tile = Material(texture=textures.tiles, color=(0.85, 0.85, 0.83), accent=(0.6, 0.6, 0.6), scale=0.6)
    else:
        tile = Material(texture=textures.paint, color=jitter(rng, (0.88, 0.88, 0.87), 0.03))
    return Palette(
        wall=Material(texture=textures.paint, color=wall),
        ceiling=tile,
        floor=_floor(rng),
        trim=metal(rng),
        skirting=wood(rng) if rng.random() < 0.3 else metal(rng),
        wood=wood(rng),
        steel=metal(rng),
        cloth=cloth(rng),
        white=Material(texture=textures.paint, color=white),
        column=Material(texture=textures.paint, color=wall) if camouflaged else bare,
    )


def tiled(look: Palette, rng: np.random.Generator) -> Palette:
    """Return the same palette with tiles on walls and floor."""
    wall = Material(
        texture=textures.tiles, color=look.wall.color, accent=(0.6, 0.6, 0.58), scale=rng.uniform(0.1, 0.25)
    )
    floor = Material(
        texture=textures.tiles, color=pick(rng, [(0.5, 0.5, 0.48), (0.3, 0.32, 0.35)]), scale=0.2
    )
    return dataclasses.replace(look, wall=wall, floor=floor)
