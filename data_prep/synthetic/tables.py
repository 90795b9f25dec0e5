"""Tables of several builds."""

import numpy as np

from data_prep.synthetic.model import Item
from data_prep.synthetic.palette import Palette
from data_prep.synthetic.shapes import Mesh, box, cylinder, ellipse, join, lathe, prism, rounded, tube
from data_prep.synthetic.textures import Material


def posts(width: float, depth: float, height: float, thick: float, *, is_round: bool) -> Mesh:
    """Return four legs at the corners of a rectangle."""
    spots = [(x, y, 0.0) for x in (-width / 2, width / 2) for y in (-depth / 2, depth / 2)]
    if is_round:
        return join([cylinder(thick / 2, height, spot, 10) for spot in spots])
    return join([box((thick, thick, height), spot) for spot in spots])


def table(
    rng: np.random.Generator,
    look: Palette,
    width: float,
    depth: float,
    height: float = 0.74,
    *,
    under: int | None = None,
) -> Item:
    """Make a table with a straight, rounded or oval top on legs, panels, columns, trestles or skids.

    ``under`` chooses one of these by its position; ``None`` draws it.
    """
    height *= rng.uniform(0.96, 1.04)
    thick = rng.uniform(0.02, 0.045)
    board = look.wood if rng.random() < 0.7 else look.white
    soft = rounded(width, depth, rng.uniform(0.05, 0.2))
    outline = [rounded(width, depth, 0.01), soft, ellipse(width, depth)][rng.choice(3, p=[0.55, 0.25, 0.2])]
    item = Item("table", top=height).add(board, prism(outline, thick, (0, 0, height - thick)))
    builds = [_on_legs, _on_panels, _on_columns, _on_trestles, _on_skids]
    build = builds[rng.integers(5) if under is None else under]
    build(item, rng, look, board, (width, depth, height - thick))
    return item


Under = tuple[float, float, float]


def _on_legs(item: Item, rng: np.random.Generator, look: Palette, board: Material, under: Under) -> None:
    width, depth, height = under
    legs = look.steel if rng.random() < 0.6 else board
    item.add(
        legs, posts(width * 0.8, depth * 0.68, height, rng.uniform(0.035, 0.07), is_round=rng.random() < 0.5)
    )
    if rng.random() < 0.5:
        item.add(
            legs,
            *[box((width * 0.78, 0.025, 0.06), (0, y, height - 0.06)) for y in (-depth * 0.3, depth * 0.3)],
        )


def _on_panels(item: Item, rng: np.random.Generator, look: Palette, board: Material, under: Under) -> None:
    width, depth, height = under
    item.add(board, *[box((0.03, depth * 0.8, height), (x, 0, 0)) for x in (-width * 0.4, width * 0.4)])
    item.add(board, box((width * 0.78, 0.02, 0.35), (0, -depth * 0.25, height - 0.36)))
    if width > 1.1 and rng.random() < 0.5:
        middle = (width * 0.4 - 0.22) * rng.choice([-1, 1])
        item.add(board, box((0.38, depth * 0.7, height - 0.1), (middle, 0, 0.08)))
        faces = [box((0.36, 0.02, 0.16), (middle, depth * 0.35, 0.1 + k * 0.18)) for k in range(3)]
        item.add(look.steel, *faces)


def _on_columns(item: Item, rng: np.random.Generator, look: Palette, board: Material, under: Under) -> None:
    width, depth, height = under
    foot = min(0.32, 0.42 * depth)
    profile = [(0, 0), (foot, 0), (foot * 0.9, 0.025), (0.05, 0.06), (0.045, height), (0, height)]
    number = max(1, round(width / 1.3))
    for k in range(number):
        item.add(look.steel, lathe(profile, (((k + 0.5) / number - 0.5) * width, 0, 0)))


def _on_trestles(item: Item, rng: np.random.Generator, look: Palette, board: Material, under: Under) -> None:
    width, depth, height = under
    legs = look.steel if rng.random() < 0.5 else board
    lean = depth * rng.uniform(0.25, 0.4)
    for x in (-width * 0.36, width * 0.36):
        for y in (-lean, lean):
            item.add(
                legs, tube(np.array([[x, y, 0], [x, y * 0.65, height / 2], [x, y * 0.3, height]]), 0.022)
            )
        item.add(legs, box((0.03, depth * 0.55, 0.03), (x, 0, height * 0.3)))


def _on_skids(item: Item, rng: np.random.Generator, look: Palette, board: Material, under: Under) -> None:
    width, depth, height = under
    for x in (-width * 0.4, width * 0.4):
        item.add(look.steel, box((0.06, depth * 0.8, 0.04), (x, 0, 0)))
        item.add(look.steel, box((0.06, 0.08, height), (x, -depth * 0.1, 0)))
        item.add(look.steel, box((0.05, depth * 0.6, 0.03), (x, 0, height - 0.03)))
    item.add(look.steel, box((width * 0.8, 0.03, 0.06), (0, -depth * 0.1, height - 0.12)))


def corner_desk(rng: np.random.Generator, look: Palette, width: float) -> Item:
    """Make a desk with a return on one side; its frame is that of the main part."""
    depth, height, back = 0.72, 0.74, rng.uniform(0.5, 0.8)
    hand = float(rng.choice([-1, 1]))
    aside = hand * (width / 2 - 0.3)
    item = Item("table", top=height)
    item.add(look.wood, box((width, depth, 0.03), (0, 0, height - 0.03)))
    item.add(look.wood, box((0.6, back, 0.03), (aside, (depth + back) / 2, height - 0.03)))
    item.add(
        look.wood,
        *[box((0.03, depth * 0.9, height - 0.03), (x, 0, 0)) for x in (0.02 - width / 2, width / 2 - 0.02)],
    )
    item.add(
        look.steel,
        posts(0.5, 0.05, height - 0.03, 0.04, is_round=True).moved((aside, depth / 2 + back - 0.1, 0)),
    )
    return item
