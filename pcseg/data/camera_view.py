"""Recognize a single view of a camera at the origin, and level it by its floor."""

import numpy as np

from pcseg.data.surfaces import Surfaces

BEHIND = 0.1
"""Relative distance between two surfaces that cannot both be seen along one ray."""


def is_view(sample: np.ndarray) -> tuple[bool, bool]:
    """Return whether points ``(M, 3)`` may be a view along +z from the origin, and whether that is certain.

    A camera sees one surface per direction, in a cone about its axis, at various distances.
    """
    if np.mean(sample[:, 2] > 0) < 0.999:
        return False, False
    front = sample[sample[:, 2] > 0]
    plane = front[:, :2] / front[:, 2:]
    low, high = np.percentile(plane, (1, 99), axis=0)
    size = high - low
    if (low > -0.1).any() or (high < 0.1).any() or (size < 0.4).any() or (size > 2.5).any():
        return False, False
    cells = max(4, int(np.sqrt(len(front) / 10)))
    inside = ((plane > low) & (plane < high)).all(axis=1)
    cell = np.floor((plane[inside] - low) / size * cells).astype(np.int64) @ (1, cells)
    depth = np.log(front[inside, 2])
    order = np.lexsort((depth, cell))
    cell, depth = cell[order], depth[order]
    _, counts = np.unique(cell, return_counts=True)
    jumps = (np.diff(depth) > BEHIND) & (np.diff(cell) == 0)
    several = len(np.unique(cell[1:][jumps])) / max(1, len(counts))
    uneven = float(counts.std() / counts.mean())
    deep = float(np.ptp(np.percentile(depth, (2, 98))))
    # pixels fill the cone evenly; a piece of floor seen from far below is flat
    even = uneven < 0.75 and (deep > 0.4 or (deep > 0.28 and uneven < 0.27))
    certain = (several < 0.12 and even) or (several < 0.04 and deep > 0.8)
    return several < 0.2, certain


def level(rotation: np.ndarray, surfaces: Surfaces) -> tuple[np.ndarray, float]:
    """Tilt ``rotation`` so that the largest nearly horizontal surface becomes horizontal; also return the angle."""
    towards = (
        surfaces.normal * -np.sign(np.sum(surfaces.normal * surfaces.pos[surfaces.fitted], axis=1))[:, None]
    )
    normal = towards @ rotation.T
    candidates = normal[normal[:, 2] > np.cos(np.radians(50))]
    if not len(candidates):
        return rotation, 0.0
    some = candidates[:: max(1, len(candidates) // 1000)]
    up = some[((candidates @ some.T) > 0.97).sum(axis=0).argmax()]
    for _ in range(5):
        near = candidates[candidates @ up > 0.97]
        up = near.mean(axis=0) / np.linalg.norm(near.mean(axis=0))
    angle = float(np.degrees(np.arccos(min(up[2], 1.0))))
    if len(near) < 0.05 * len(normal) or angle < 1:
        return rotation, 0.0
    return rotation_between(up, np.array([0.0, 0.0, 1.0])) @ rotation, angle


def rotation_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the smallest rotation ``(3, 3)`` from unit vector ``a`` to unit vector ``b``, which is not ``-a``."""
    axis = np.cross(a, b)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + a @ b)
