"""Objects that hang on walls: writing boards, and pictures, mirrors and other clutter in similar frames."""

import dataclasses

import numpy as np

from data_prep.synthetic import palette, textures
from data_prep.synthetic.floorplan import Floorplan
from data_prep.synthetic.model import Item
from data_prep.synthetic.openings import frame
from data_prep.synthetic.palette import Palette
from data_prep.synthetic.shapes import box, cylinder, lathe
from data_prep.synthetic.textures import Material


def add_board(plan: Floorplan, look: Palette, *, plain: bool = False) -> None:
    """Add a board on an inner wall: most are white and framed like a window with its blind drawn.

    A ``plain`` board is never colored.
    """
    rng = plan.rng
    pen = palette.jitter(rng, (0.12, 0.15, 0.45), 0.5)
    inked = dataclasses.replace(look.white, texture=textures.ink, accent=pen)
    cork = Material(texture=textures.speckle, color=(0.6, 0.45, 0.3), accent=(0.45, 0.32, 0.2))
    green = palette.jitter(rng, (0.12, 0.22, 0.17))
    chalk = Material(texture=textures.ink, color=green, accent=(0.75, 0.76, 0.74))
    shares = [0.55, 0.45, 0, 0] if plain else [0.42, 0.33, 0.1, 0.15]
    face = [inked, look.white, cork, chalk][rng.choice(4, p=shares)]
    tray = rng.uniform(0.4, 0.95) if rng.random() < 0.7 and face is not cork else 0.0
    height, bottom = rng.uniform(0.95, 1.4), rng.uniform(0.8, 1.0)
    for width in (rng.uniform(1.1, 2.6), 1.2, 0.9):
        board = Item("board").add(face, box((width, 0.012, height), (0, 0.006, 0)))
        board.add(look.trim, frame(width, height, 0.035, 0.025))
        if tray:
            board.add(look.trim, box((width * tray, 0.07, 0.015), (0, 0.035, 0)))
        if plan.hang(board, bottom, sides=plan.inner):
            return


def picture(rng: np.random.Generator, look: Palette) -> Item:
    image = Material(
        texture=textures.picture, color=palette.pick(rng, palette.CLOTHS, 0.3), scale=rng.uniform(0.05, 0.25)
    )
    width, height = rng.uniform(0.35, 0.8), rng.uniform(0.35, 0.8)
    return (
        Item("clutter")
        .add(look.trim, frame(width, height, 0.03))
        .add(image, box((width, 0.02, height), (0, 0.01, 0)))
    )


def mirror(rng: np.random.Generator, look: Palette, width: float) -> Item:
    silver = Material(texture=textures.sky, color=(0.7, 0.72, 0.74), accent=(0.5, 0.5, 0.5), dropout=0.5)
    height = rng.uniform(0.7, 1.0)
    return (
        Item("clutter")
        .add(silver, box((width, 0.012, height), (0, 0.006, 0)))
        .add(look.trim, frame(width, height, 0.025, 0.02))
    )


def television(rng: np.random.Generator) -> Item:
    width = rng.uniform(0.9, 1.5)
    black = Material(texture=textures.metal, color=(0.05, 0.05, 0.06), dropout=0.2)
    return Item("clutter").add(black, box((width, 0.06, width * 0.58), (0, 0.05, 0)))


def clock(rng: np.random.Generator) -> Item:
    face = lathe([(0, 0), (0.15, 0), (0.15, 0.04), (0, 0.04)]).turned(-np.pi / 2, 0).moved((0, 0, 0.15))
    return Item("clutter").add(Material(texture=textures.paint, color=(0.9, 0.9, 0.88)), face)


def extinguisher(rng: np.random.Generator) -> Item:
    red = Material(texture=textures.metal, color=palette.jitter(rng, (0.65, 0.08, 0.07)))
    body = lathe([(0, 0), (0.08, 0), (0.08, 0.4), (0.03, 0.48), (0, 0.5)], (0, 0.1, 0))
    return Item("clutter").add(red, body)


def coat_rail(rng: np.random.Generator, look: Palette) -> Item:
    item = Item("clutter").add(look.wood, box((0.8, 0.03, 0.1), (0, 0.015, 0)))
    return item.add(look.steel, *[cylinder(0.01, 0.07, (x, 0.06, 0), 6) for x in (-0.3, -0.1, 0.1, 0.3)])


def cable_tray(rng: np.random.Generator) -> Item:
    gray = Material(texture=textures.metal, color=(0.75, 0.75, 0.74))
    return Item("clutter").add(gray, box((rng.uniform(0.5, 2.0), 0.06, 0.08), (0, 0.03, 0)))


def add_decoration(plan: Floorplan, look: Palette, number: int, *, pictures: bool = True) -> None:
    """Add pictures, clocks, extinguishers, coat rails and trays on free parts of the walls."""
    rng = plan.rng
    for _ in range(number):
        kinds = ["picture", "clock", "extinguisher", "rail", "tray"]
        kind = rng.choice(kinds, p=[0.45, 0.1, 0.15, 0.15, 0.15])
        if kind == "picture" and pictures:
            plan.hang(picture(rng, look), rng.uniform(1.1, 1.4))
        elif kind == "clock":
            plan.hang(clock(rng), 2.0)
        elif kind == "extinguisher":
            plan.hang(extinguisher(rng), 0.6)
        elif kind == "rail":
            plan.hang(coat_rail(rng, look), 1.65)
        elif kind == "tray":
            plan.hang(cable_tray(rng), rng.choice([0.25, 0.95]))
