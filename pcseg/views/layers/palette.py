"""Colors of errors, of values, and of categories other than classes."""

import colorsys

import numpy as np

Color = tuple[int, int, int]

CORRECT: Color = (205, 210, 215)
WRONG: Color = (213, 30, 40)

SEQUENTIAL = ((68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140), (40, 174, 128), (94, 201, 98),
              (173, 220, 48), (253, 231, 37))  # fmt: skip
DIVERGING = ((180, 4, 38), (222, 97, 77), (244, 154, 123), (244, 197, 173), (220, 221, 221), (183, 207, 249),
             (140, 175, 254), (97, 128, 233), (59, 76, 192))  # fmt: skip
"""Nine colors of matplotlib's ``viridis``, whose brightness gives the order, and of ``coolwarm_r``, gray in the middle.

Copied, because the import of matplotlib takes longer than a picture.
"""


def distinct_colors(number: int) -> list[Color]:
    """Return colors for categories without canonical colors; adjacent entries differ clearly."""
    colors = []
    for i in range(number):
        red, green, blue = colorsys.hls_to_rgb(i * 0.618034 % 1, (0.42, 0.66, 0.54)[i % 3], 0.65)
        colors.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colors


def color_scale(size: int, *, diverging: bool = False) -> np.ndarray:
    """Return ``size`` colors ``(size, 3)`` uint8 from the low to the high end of a scale."""
    stops = np.array(DIVERGING if diverging else SEQUENTIAL)
    at, places = np.linspace(0, 1, size), np.linspace(0, 1, len(stops))
    return np.rint(np.stack([np.interp(at, places, part) for part in stops.T], axis=1)).astype(np.uint8)
