"""Colors of errors, of values, and of categories other than classes."""

import colorsys

import numpy as np

Color = tuple[int, int, int]

CORRECT: Color = (205, 210, 215)
WRONG: Color = (213, 30, 40)

SEQUENTIAL, DIVERGING = "viridis", "coolwarm_r"
"""Colormaps of matplotlib: brightness alone gives the order of the first; the second is gray in the middle."""


def distinct_colors(number: int) -> list[Color]:
    """Return colors for categories without canonical colors; adjacent entries differ clearly."""
    colors = []
    for i in range(number):
        red, green, blue = colorsys.hls_to_rgb(i * 0.618034 % 1, (0.42, 0.66, 0.54)[i % 3], 0.65)
        colors.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colors


def color_scale(size: int, *, diverging: bool = False) -> np.ndarray:
    """Return ``size`` colors ``(size, 3)`` uint8 from the low to the high end of a scale."""
    import matplotlib  # imported here: it takes 0.2 s

    colors = matplotlib.colormaps[DIVERGING if diverging else SEQUENTIAL](np.linspace(0, 1, size))
    return np.rint(255 * colors[:, :3]).astype(np.uint8)
