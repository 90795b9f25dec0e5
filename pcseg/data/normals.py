"""Estimate the normals of an unorganized cloud by fitting planes to its neighborhoods."""

import multiprocessing
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.spatial import KDTree


NEIGHBORS = 16
"""Number of points that a plane is fitted to, including the point itself."""


def normals_from_inside(pos: np.ndarray) -> np.ndarray:
    """Return :func:`estimate_normals` of a scan, oriented towards its middle whatever strays lie around it."""
    if not len(pos):
        return np.empty((0, 3), np.float32)
    low, high = np.percentile(pos[:: max(1, len(pos) // 200_000)], (1, 99), axis=0)
    return estimate_normals(pos, towards=(low + high) / 2)


def estimate_normals(pos: np.ndarray, *, towards: np.ndarray | None = None, chunk: int = 32768) -> np.ndarray:
    """Return unit normals ``(N, 3)`` float32, the direction of least variance of the nearest neighbors of each point.

    Args:
        pos: ``(N, 3)`` finite coordinates.
        towards: Point ``(3,)`` that normals are oriented towards, such as a sensor; default: the center of the
            bounding box.
        chunk: Number of points per step, which limits the memory beside the k-d tree.

    Convention:
        Oriented towards the center, normals of walls, floor and ceiling point into the room. The orientation is
        consistent over a surface, but is not the side from which it was scanned. If the neighbors span no plane
        (copies of one point, a straight line), the normal is an arbitrary unit vector perpendicular to them.
    """
    # float64: coordinates of a building can be large, and their differences are a few millimeters
    centered = pos.astype(np.float64)
    if len(pos):
        centered -= (centered.max(axis=0) + centered.min(axis=0)) / 2 if towards is None else towards
    normal = np.empty((len(pos), 3), np.float32)
    tree = make_tree(centered)
    for start in range(0, len(pos), chunk):
        rows = slice(start, start + chunk)
        points = centered[rows]
        found, _ = fit_planes(tree, points)
        found[np.einsum("ni,ni->n", found, points) > 0] *= -1
        normal[rows] = found
    return normal


def make_tree(pos: np.ndarray) -> "KDTree":
    """Return the k-d tree of ``pos`` ``(N, 3)``."""
    from scipy.spatial import KDTree

    return KDTree(pos, balanced_tree=False)  # balancing is slow on many equal coordinates


def fit_planes(tree: "KDTree", points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit planes to the :data:`NEIGHBORS` nearest of ``points`` ``(n, 3)`` in ``tree``.

    Returns:
        Normals ``(n, 3)`` of either orientation, and the scatter ``(n, 3)`` of the neighbors along the principal
        directions, ascending: sums of squared distances.
    """
    threads = -1 if multiprocessing.parent_process() is None else 1  # worker processes use one core each
    count = min(NEIGHBORS, tree.n)
    _, rows = tree.query(points, k=count, workers=threads)
    around = tree.data[rows.reshape(len(points), count)]  # k = 1 drops the axis
    around = around - around.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(around.transpose(0, 2, 1) @ around)
    return vectors[:, :, 0], values
