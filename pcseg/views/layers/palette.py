"""Colours for classes, errors and confidences."""

import colorsys
from typing import Literal

import numpy as np

from pcseg.labels import LabelSchema

Palette = Literal["canonical", "safe", "colorblind"]
"""``safe`` and ``colorblind`` are two names of one palette, for colour-blind readers."""

UNLABELLED = (150, 115, 85)
"""Points without a class: a brown that no class of S3DIS comes near."""
RIGHT, WRONG = (205, 210, 215), (213, 30, 40)

# Paul Tol's "muted" scheme, distinct for the common kinds of colour blindness
SAFE = ((51, 34, 136), (136, 204, 238), (68, 170, 153), (17, 119, 51), (153, 153, 51), (221, 204, 119),
        (204, 102, 119), (136, 34, 85), (170, 68, 153))  # fmt: skip
# from dark blue over green to yellow: brightness alone tells the order
SCALE = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], dtype=np.float32
)
# orange and blue are told apart by the common kinds of colour blindness
DIVERGING = np.array(
    [(179, 88, 6), (241, 163, 64), (235, 235, 235), (103, 169, 207), (5, 88, 150)], dtype=np.float32
)


def class_colors(schema: LabelSchema, palette: Palette = "canonical") -> np.ndarray:
    """``(K + 1, 3)`` uint8: the colour of every class, and in the last row (index -1) that of no class.

    ``safe`` (also called ``colorblind``) is the palette for colour-blind readers: nine colours, then the same nine
    lighter, then darker. More than 27 classes, as ADE20K and ScanNet200 have, get the nine paler and in ever other
    lightnesses: of 256 classes no two have one colour, but they cannot all be told apart by eye.
    """
    colors = list(schema.colors)
    if palette != "canonical":
        colors = [_shifted(SAFE[i % len(SAFE)], i // len(SAFE)) for i in range(schema.num_classes)]
    return np.array([*colors, UNLABELLED], dtype=np.uint8)


def _shifted(color: tuple[int, int, int], rounds: int) -> tuple[int, ...]:
    """The colour lighter after one round, darker after two, then paler in lightnesses spread evenly."""
    hue, light, saturation = colorsys.rgb_to_hls(*(value / 255 for value in color))
    if rounds < 3:
        light += (0, 0.25, -0.15)[rounds]
    else:
        light, saturation = 0.1 + 0.8 * (rounds * 0.6180339887 % 1), 0.7 * saturation
    return tuple(round(255 * v) for v in colorsys.hls_to_rgb(hue, min(max(light, 0.08), 0.92), saturation))


def scale_colors(values: np.ndarray, *, diverging: bool = False) -> np.ndarray:
    """``(N, 3)`` uint8 for values in 0..1, dark for 0 and bright for 1; ``diverging`` from orange to blue."""
    stops = DIVERGING if diverging else SCALE
    place = np.clip(np.nan_to_num(values), 0, 1).astype(np.float32) * (len(stops) - 1)
    below = np.minimum(place.astype(np.int64), len(stops) - 2)
    part = (place - below)[:, None]
    return np.rint(stops[below] * (1 - part) + stops[below + 1] * part).astype(np.uint8)


def scale_table(size: int, *, diverging: bool = False) -> np.ndarray:
    """``(size, 3)`` uint8: the colours of a scale from 0 to 1."""
    return scale_colors(np.linspace(0, 1, size), diverging=diverging)
