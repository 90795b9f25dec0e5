"""Normals of an unorganised cloud from the planes through its neighbourhoods."""

import multiprocessing

import numpy as np


def estimate_normals(
    pos: np.ndarray, *, neighbors: int = 16, towards: np.ndarray | None = None, chunk: int = 32768
) -> np.ndarray:
    """Unit normals ``(N, 3)`` float32: the direction of least spread of the nearest neighbours of each point.

    Args:
        pos: ``(N, 3)`` finite coordinates.
        neighbors: Points that a plane is fitted to, the point itself included.
        towards: A place ``(3,)`` that normals look to, such as a sensor; without one, the middle of the
            bounding box.
        chunk: Points worked on at a time; bounds the memory beside the k-d tree.

    Convention:
        Towards the middle means into the room for walls, floor and ceiling, up for what stands below half its
        height: consistent over a surface, not the side it was seen from. Where neighbours span no plane (copies
        of one point, a straight line) the direction is some unit vector across them.
    """
    from scipy.spatial import KDTree

    # float64: coordinates of a building may be large, and their differences are a few millimetres
    centred = pos.astype(np.float64)
    if len(pos):
        centred -= (centred.max(axis=0) + centred.min(axis=0)) / 2 if towards is None else towards
    threads = -1 if multiprocessing.parent_process() is None else 1  # one of several has one processor
    tree = KDTree(centred, balanced_tree=False)  # balancing is slow on many equal coordinates
    count = min(neighbors, len(pos))
    normal = np.empty((len(pos), 3), np.float32)
    for start in range(0, len(pos), chunk):
        points = centred[start : start + chunk]
        _, rows = tree.query(points, k=count, workers=threads)
        around = centred[rows.reshape(len(points), count)]  # k = 1 drops the axis
        around -= around.mean(axis=1, keepdims=True)
        _, vectors = np.linalg.eigh(around.transpose(0, 2, 1) @ around)
        found = vectors[:, :, 0]  # eigenvalues ascend
        outward = np.einsum("ni,ni->n", found, points) > 0
        found[outward] *= -1
        normal[start : start + chunk] = found
    return normal
