"""Sets of materials by name: colors of walls, floors and cloths, which differ more than those of one office."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from data_prep.synthetic import textures
from data_prep.synthetic.palette import CLOTHS, WALLS, WOODS, Color, Palette, draw_palette, jitter, pick
from data_prep.synthetic.textures import Material, Texture


@dataclass(frozen=True, kw_only=True)
class MaterialSet:
    """Colors of the main surfaces.

    Args:
        walls: Colors of the walls, one of which a room gets.
        accents: Colors of one wall in some rooms, of fronts and doors.
        woods, cloths: Colors of furniture.
        wall_texture: Texture of the walls.
    """

    walls: tuple[Color, ...] = tuple(WALLS)
    accents: tuple[Color, ...] = ()
    woods: tuple[Color, ...] = tuple(WOODS)
    cloths: tuple[Color, ...] = tuple(CLOTHS)
    wall_texture: Texture = textures.paint


MATERIALS: Mapping[str, MaterialSet] = {
    "neutral": MaterialSet(),
    "saturated": MaterialSet(
        walls=((0.75, 0.2, 0.14), (0.15, 0.33, 0.62), (0.2, 0.5, 0.3), (0.85, 0.65, 0.15), (0.1, 0.5, 0.55)),
        accents=((0.7, 0.08, 0.06), (0.08, 0.2, 0.5), (0.9, 0.5, 0.05)),
        cloths=((0.6, 0.08, 0.1), (0.1, 0.15, 0.55), (0.85, 0.6, 0.1), (0.1, 0.4, 0.2), (0.45, 0.1, 0.4)),
    ),
    "white": MaterialSet(
        walls=((0.88, 0.88, 0.87), (0.84, 0.85, 0.86)),
        woods=((0.85, 0.84, 0.82), (0.8, 0.72, 0.6), (0.75, 0.75, 0.74)),
        cloths=((0.75, 0.74, 0.72), (0.55, 0.56, 0.58), (0.3, 0.31, 0.33)),
    ),
    "warm": MaterialSet(
        walls=((0.72, 0.55, 0.36), (0.8, 0.68, 0.48), (0.62, 0.45, 0.3), (0.78, 0.55, 0.45)),
        accents=((0.5, 0.25, 0.12), (0.65, 0.35, 0.15)),
        cloths=((0.5, 0.2, 0.1), (0.65, 0.5, 0.3), (0.35, 0.2, 0.12), (0.6, 0.4, 0.15)),
    ),
    "dark": MaterialSet(
        walls=((0.3, 0.31, 0.33), (0.25, 0.3, 0.36), (0.36, 0.3, 0.28), (0.2, 0.26, 0.24)),
        woods=((0.2, 0.13, 0.09), (0.28, 0.18, 0.12), (0.12, 0.12, 0.12)),
        cloths=((0.08, 0.08, 0.1), (0.2, 0.06, 0.07), (0.1, 0.14, 0.25)),
    ),
    "raw": MaterialSet(
        walls=((0.55, 0.54, 0.51), (0.48, 0.47, 0.46), (0.6, 0.35, 0.26)),
        woods=((0.7, 0.56, 0.38), (0.45, 0.33, 0.22)),
        wall_texture=textures.speckle,
    ),
}
"""Material sets that can be held out by name."""


def draw_look(rng: np.random.Generator, name: str) -> Palette:
    """Sample the materials of a room from one of :data:`MATERIALS`."""
    chosen, base = MATERIALS[name], draw_palette(rng)
    color = pick(rng, list(chosen.walls), 0.06)
    wall = Material(texture=chosen.wall_texture, color=color, accent=jitter(rng, color, 0.15))
    grain = pick(rng, list(chosen.woods), 0.1)
    dark = tuple(0.72 * value for value in grain)
    cover = pick(rng, list(chosen.cloths), 0.15)
    white = base.white
    if chosen.accents and rng.random() < 0.7:
        white = replace(white, color=pick(rng, list(chosen.accents), 0.1))
    return replace(
        base,
        wall=wall,
        # real ceilings are darker than painted samples: they see the floor and no lamp
        ceiling=replace(base.ceiling, color=jitter(rng, (0.5, 0.5, 0.49), 0.1)),
        wood=Material(
            texture=textures.wood, color=grain, accent=dark, scale=rng.uniform(0.05, 0.12), gloss=0.1
        ),
        cloth=Material(texture=textures.fabric, color=cover, accent=jitter(rng, cover, 0.3)),
        white=replace(white, gloss=0.3),
        floor=replace(base.floor, gloss=rng.choice([0.0, 0.12])),
    )
