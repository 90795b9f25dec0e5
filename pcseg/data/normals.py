"""Estimate the normals of an unorganized cloud by fitting planes to its neighborhoods."""

import multiprocessing

import numpy as np


def estimate_normals(
    pos: np.ndarray, *, neighbors: int = 16, towards: np.ndarray | None = None, chunk: int = 32768
) -> np.ndarray:
    """Return unit normals ``(N, 3)`` float32, the direction of least variance of the nearest neighbors of each point.

    Args:
        pos: ``(N, 3)`` finite coordinates.
        neighbors: Number of points that a plane is fitted to, including the point itself.
        towards: Point ``(3,)`` that normals are oriented towards, such as a sensor; default: the center of the
            bounding box.
        chunk: Number of points per step, which limits the memory beside the k-d tree.

    Convention:
        Oriented towards the center, normals of walls, floor and ceiling point into the room. The orientation is
        consistent over a surface, but is not the side from which it was scanned. If the neighbors span no plane
        (copies of one point, a straight line), the normal is an arbitrary unit vector perpendicular to them.
    """
    from scipy.spatial import KDTree

    # float64: coordinates of a building can be large, and their differences are a few millimeters
    centered = pos.astype(np.float64)
    if len(pos):
        centered -= (centered.max(axis=0) + centered.min(axis=0)) / 2 if towards is None else towards
    threads = -1 if multiprocessing.parent_process() is None else 1  # worker processes use one core each
    tree = KDTree(centered, balanced_tree=False)  # balancing is slow on many equal coordinates
    count = min(neighbors, len(pos))
    normal = np.empty((len(pos), 3), np.float32)
    for start in range(0, len(pos), chunk):
        points = centered[start : start + chunk]
        _, rows = tree.query(points, k=count, workers=threads)
        around = centered[rows.reshape(len(points), count)]  # k = 1 drops the axis
        around -= around.mean(axis=1, keepdims=True)
        _, vectors = np.linalg.eigh(around.transpose(0, 2, 1) @ around)
        found = vectors[:, :, 0]  # eigenvalues ascend
        outward = np.einsum("ni,ni->n", found, points) > 0
        found[outward] *= -1
        normal[start : start + chunk] = found
    return normal
