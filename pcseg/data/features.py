"""Input features by name."""

from collections.abc import Sequence

import numpy as np

from pcseg.errors import UserError

WIDTHS = {"color": 3, "height": 1, "normal": 3, "pos": 3}
"""Channels of every feature."""

GROUND_QUANTILE = 0.01
"""Share of a scene's points below the height that counts as 0: single points under the floor do no harm."""


def num_features(names: Sequence[str]) -> int:
    """Channels of the input features ``names``; raise :class:`UserError` for unknown or repeated names."""
    for name in names:
        if name not in WIDTHS:
            raise UserError(f"features: {name!r} is unknown; choose from {', '.join(WIDTHS)}")
    if not names or len(set(names)) != len(names):
        raise UserError(f"features: {list(names)} must name each feature once and at least one")
    return sum(WIDTHS[name] for name in names)


def ground_height(pos: np.ndarray) -> float:
    """The height in metres below which 1 % of the points of a scene lie; 0 for no points."""
    if len(pos) == 0:
        return 0.0
    rank = int(GROUND_QUANTILE * (len(pos) - 1))
    return float(np.partition(pos[:, 2], rank)[rank])


def input_features(
    names: Sequence[str],
    *,
    pos: np.ndarray,
    color: np.ndarray,
    ground: np.ndarray | float,
    normal: np.ndarray | None = None,
    source: str = "cloud",
) -> np.ndarray:
    """Input features of the points of a crop (or of a whole scene), float32, ``(N, F)``.

    ``color`` is scaled to -0.5..0.5; ``height`` is metres above ``ground``; ``normal`` is a unit vector;
    ``pos`` is metres, x and y from the middle of the crop's bounding box and z from ``ground``.

    Args:
        names: Which features, in which order.
        pos: Positions in metres, ``(N, 3)``.
        color: Colours from 0 to 255, ``(N, 3)``.
        ground: :func:`ground_height` of the whole scene that the points are from (or one value a point).
        normal: Unit normals, ``(N, 3)``.
        source: Names the cloud in errors.

    Raises:
        UserError: An unknown name, or ``normal`` for a cloud without normals.
    """
    columns = np.empty((len(pos), num_features(names)), dtype=np.float32)
    start = 0
    for name in names:
        part = columns[:, start : start + WIDTHS[name]]
        start += WIDTHS[name]
        if name == "color":
            np.multiply(color, np.float32(1 / 255), out=part, casting="unsafe")
            part -= np.float32(0.5)
        elif name == "height":
            part[:, 0] = pos[:, 2] - ground
        elif name == "normal":
            if normal is None:
                raise UserError(f"{source}: feature 'normal' is asked for but there are no normals")
            part[:] = normal
        elif len(pos):
            part[:] = pos
            for axis in (0, 1):
                part[:, axis] -= (pos[:, axis].min() + pos[:, axis].max()) / 2
            part[:, 2] -= ground
    return columns
