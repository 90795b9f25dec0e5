"""Small loose objects, all of the class clutter."""

import numpy as np

from data_prep.synthetic import palette, textures
from data_prep.synthetic.model import Item
from data_prep.synthetic.shapes import box, cylinder, lathe, pillow, tube
from data_prep.synthetic.textures import Material

BLACK = Material(texture=textures.metal, color=(0.08, 0.08, 0.09))
CARDS = tuple(
    Material(texture=textures.metal, color=color)
    for color in ((0.62, 0.47, 0.3), (0.55, 0.42, 0.28), (0.8, 0.8, 0.78), (0.25, 0.35, 0.5))
)


def monitor(rng: np.random.Generator) -> Item:
    """Make a screen on a stand, or two side by side."""
    item = Item("clutter")
    for x in (0.0,) if rng.random() < 0.75 else (-0.29, 0.29):
        width = rng.uniform(0.42, 0.56)
        height = width * 0.6
        screen = Material(texture=textures.picture, color=(0.06, 0.07, 0.1), scale=rng.uniform(0.05, 0.15))
        item.add(BLACK, cylinder(0.11, 0.015, (x, 0, 0)), box((0.05, 0.03, 0.15), (x, 0, 0)))
        item.add(BLACK, box((width, 0.03, height), (x, 0, 0.12)))
        item.add(screen, box((width - 0.03, 0.004, height - 0.03), (x, 0.017, 0.135)))
    return item


def laptop(rng: np.random.Generator) -> Item:
    shell = palette.metal(rng)
    lid = box((0.34, 0.01, 0.23)).turned(rng.uniform(0.1, 0.5), 0).moved((0, -0.12, 0.02))
    return Item("clutter").add(shell, box((0.34, 0.24, 0.02)), lid)


def keyboard(rng: np.random.Generator) -> Item:
    board = palette.plastic(rng)
    return Item("clutter").add(
        board, box((0.44, 0.15, 0.025)), pillow((0.06, 0.1, 0.035), (0.32, 0, 0), 0.8, 8)
    )


def stack(rng: np.random.Generator) -> Item:
    """Make a stack of books or papers."""
    item, z = Item("clutter"), 0.0
    for _ in range(rng.integers(1, 7)):
        tall = rng.uniform(0.015, 0.05)
        color = palette.pick(rng, [(0.9, 0.9, 0.88), (0.9, 0.9, 0.88), *palette.CLOTHS], 0.2)
        paper = Material(texture=textures.paint, color=color)
        item.add(paper, box((0.21, 0.29, tall), (0, 0, z)).turned(rng.uniform(-0.3, 0.3)))
        z += tall
    return item


def desk_lamp(rng: np.random.Generator) -> Item:
    path = np.array([[0, 0, 0.02], [0, -0.1, 0.25], [0, 0.08, 0.45], [0, 0.12, 0.45]])
    item = Item("clutter").add(BLACK, cylinder(0.09, 0.02), tube(path, 0.012))
    return item.add(palette.plastic(rng), lathe([(0.09, 0), (0.04, 0.1), (0, 0.11)], (0, 0.15, 0.38), 12))


def mug(rng: np.random.Generator) -> Item:
    glaze = palette.plastic(rng)
    return Item("clutter").add(
        glaze, lathe([(0, 0), (0.04, 0), (0.045, 0.1), (0.035, 0.1), (0.03, 0.02), (0, 0.02)])
    )


def bottle(rng: np.random.Generator) -> Item:
    tint = Material(
        texture=textures.metal, color=palette.pick(rng, [(0.2, 0.4, 0.25), (0.7, 0.75, 0.8)], 0.2)
    )
    return Item("clutter").add(
        tint, lathe([(0, 0), (0.04, 0), (0.04, 0.18), (0.015, 0.24), (0.015, 0.3), (0, 0.3)])
    )


def carton(rng: np.random.Generator) -> Item:
    """Make one to three stacked boxes."""
    item, z = Item("clutter"), 0.0
    for _ in range(rng.integers(1, 4)):
        size = rng.uniform(0.25, 0.5, 3) * [1, 1, 0.8]
        card = Material(texture=textures.metal, color=palette.jitter(rng, CARDS[rng.integers(4)].color, 0.1))
        item.add(card, box(size, (0, 0, z)).turned(rng.uniform(-0.15, 0.15)))
        z += size[2]
    return item


def waste_bin(rng: np.random.Generator) -> Item:
    radius, tall = rng.uniform(0.13, 0.22), rng.uniform(0.28, 0.6)
    rim = [(radius, tall), (radius * 0.95, tall), (radius * 0.76, 0.03), (0, 0.03)]
    return Item("clutter").add(palette.plastic(rng), lathe([(0, 0), (radius * 0.8, 0), *rim]))


def plant(rng: np.random.Generator) -> Item:
    """Make a potted bush or small tree."""
    size = rng.uniform(0.7, 1.4)
    pot = [(0, 0), (0.12, 0), (0.17, 0.3), (0.15, 0.3), (0.14, 0.25), (0, 0.25)]
    color = palette.jitter(rng, (0.15, 0.35, 0.1), 0.2)
    leaf = Material(texture=textures.fabric, color=color, accent=(0.05, 0.15, 0.04))
    item = Item("clutter").add(palette.plastic(rng), lathe(pot))
    item.add(palette.wood(rng), tube(np.array([[0, 0, 0.2], [0.03, 0, 0.4], [0, 0.02, 0.75]]), 0.015, 5))
    for _ in range(26):
        height = rng.uniform(0.35, 1.1)
        blade = pillow((0.3, 0.09, 0.02), (0.17, 0, 0), 0.9, 8).turned(-rng.uniform(-0.4, 1.0), 1)
        item.add(leaf, blade.turned(rng.uniform(0, 6.3)).moved((0, 0, height)).scaled((1, 1, size)))
    return item


def bag(rng: np.random.Generator) -> Item:
    soft = pillow((rng.uniform(0.28, 0.42), 0.2, rng.uniform(0.3, 0.48)), power=rng.uniform(0.4, 0.8))
    strap = np.array([[-0.1, 0, 0.35], [-0.06, 0, 0.5], [0.06, 0, 0.5], [0.1, 0, 0.35]])
    return Item("clutter").add(palette.cloth(rng), soft, tube(strap, 0.012, 5))


def computer(rng: np.random.Generator) -> Item:
    return Item("clutter").add(BLACK, box((0.19, 0.42, 0.4), (0, 0, 0.015)))


def coat_stand(rng: np.random.Generator) -> Item:
    steel = palette.metal(rng)
    item = Item("clutter").add(
        steel, lathe([(0, 0), (0.2, 0), (0.18, 0.03), (0.02, 0.05), (0.02, 1.75), (0, 1.75)])
    )
    for k in range(int(rng.integers(1, 4))):
        coat = pillow((0.42, 0.16, 0.95), (0, 0.12, 0.7), 0.6).turned(k * 2.1 + rng.uniform(0, 1))
        item.add(palette.cloth(rng), coat)
    return item


def fan(rng: np.random.Generator) -> Item:
    steel = palette.metal(rng)
    head = (
        lathe([(0, 0), (0.2, 0.03), (0.2, 0.1), (0, 0.13)], steps=16)
        .turned(np.pi / 2, 0)
        .moved((0, 0.06, 1.2))
    )
    return Item("clutter").add(
        steel, lathe([(0, 0), (0.18, 0), (0.17, 0.03), (0.015, 0.04), (0.015, 1.2)]), head
    )


ON_DESK = (laptop, stack, stack, desk_lamp, mug, bottle, keyboard)
ON_SHELF = (stack, stack, bottle, carton, mug)
ON_FLOOR = (waste_bin, waste_bin, carton, carton, plant, bag, coat_stand, fan)
