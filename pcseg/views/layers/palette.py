"""Colors for errors, confidences and other values."""

import numpy as np

RIGHT, WRONG = (205, 210, 215), (213, 30, 40)

# from dark blue over green to yellow: brightness alone tells the order
SCALE = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], dtype=np.float32
)
# orange and blue are told apart by the common kinds of colour blindness
DIVERGING = np.array(
    [(179, 88, 6), (241, 163, 64), (235, 235, 235), (103, 169, 207), (5, 88, 150)], dtype=np.float32
)


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
