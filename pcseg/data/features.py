"""Input features of points by name."""

from collections.abc import Sequence

import numpy as np

from pcseg.errors import UserError

WIDTHS = {"color": 3, "height": 1, "floor": 1, "ceiling": 2, "normal": 3, "pos": 3}
"""Number of channels of each feature."""

GROUND_QUANTILE = 0.01
"""Fraction of a scene's points below height 0, so that single points under the floor do not shift it."""


def num_features(names: Sequence[str]) -> int:
    """Return the number of channels of the input features ``names``.

    Raises:
        UserError: An unknown or repeated name, or no name.
    """
    for name in names:
        if name not in WIDTHS:
            raise UserError(f"data.features: {name!r} is unknown. Choose from {', '.join(WIDTHS)}.")
    if not names or len(set(names)) != len(names):
        raise UserError(f"data.features: {list(names)} is empty or repeats a name. Name each feature once.")
    return sum(WIDTHS[name] for name in names)


def ground_height(pos: np.ndarray) -> float:
    """Return the height in meters below which 1% of the points of a scene lie; 0 without points."""
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
    floor: np.ndarray | None = None,
    ceiling: np.ndarray | None = None,
    normal: np.ndarray | None = None,
    source: str = "cloud",
) -> np.ndarray:
    """Return the input features of the points of a crop or scene, float32, ``(N, F)``.

    ``color`` is scaled to -0.5..0.5; ``height`` is in meters above ``ground``; ``floor`` is in meters above the local
    ground of the storey; ``ceiling`` is in meters below the local ceiling and 1, or twice 0 without a ceiling;
    ``normal`` is a unit vector; ``pos`` is in meters, x and y relative to the center of the crop's bounding box and z
    to ``ground``.

    Args:
        pos: Positions in meters, ``(N, 3)``.
        color: Colors from 0 to 255, ``(N, 3)``.
        ground: :func:`ground_height` of the whole scene, or one value per point.
        floor, ceiling: Values of :meth:`pcseg.data.ground.Ground.measure`, ``(N,)``.
        normal: Unit normals, ``(N, 3)``.

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
        elif name == "floor":
            assert floor is not None, "heights above the local ground are not computed"
            part[:, 0] = floor
        elif name == "ceiling":
            assert ceiling is not None, "depths below the ceiling are not computed"
            part[:, 1] = np.isfinite(ceiling)
            part[:, 0] = np.where(part[:, 1], ceiling, 0)
        elif name == "normal":
            if normal is None:
                raise UserError(
                    f"{source}: no normals, which the model's features need. Add normals to the data."
                )
            part[:] = normal
        elif len(pos):
            part[:] = pos
            for axis in (0, 1):
                part[:, axis] -= (pos[:, axis].min() + pos[:, axis].max()) / 2
            part[:, 2] -= ground
    return columns
