"""Surface normals of points from their neighbours."""

import numpy as np
import torch
from scipy.spatial import KDTree

CHUNK = 100_000
"""Points worked on at a time: bounds the memory of neighbour lists and covariances."""


def estimate_normals(
    pos: np.ndarray, *, neighbors: int = 16, towards: np.ndarray | None = None
) -> np.ndarray:
    """Unit normals ``(N, 3)`` float32: the direction in which the ``neighbors`` nearest points spread least.

    Args:
        pos: ``(N, 3)`` finite coordinates.
        neighbors: Points a plane is fitted to, the point itself included.
        towards: A place ``(3,)`` that normals look to, such as a sensor or the middle of a room; without one
            their sign is arbitrary.

    Convention:
        Fewer than three points have normals (0, 0, 1).
    """
    normal = np.tile(np.array([0, 0, 1], dtype=np.float32), (len(pos), 1))
    neighbors = min(neighbors, len(pos))
    if neighbors < 3:
        return normal
    middle = np.median(pos, axis=0)
    near = np.ascontiguousarray(pos - middle, dtype=np.float32)
    tree = KDTree(near, balanced_tree=False, compact_nodes=False)
    for start in range(0, len(near), CHUNK):
        rows = slice(start, start + CHUNK)
        _, index = tree.query(near[rows], k=neighbors, workers=-1)
        # k rows a point, at most 100 000 x 16: the largest arrays here
        patch = torch.from_numpy(near[index].astype(np.float64))
        patch -= patch.mean(dim=1, keepdim=True)
        _, axes = torch.linalg.eigh(patch.mT @ patch)  # ascending eigenvalues
        normal[rows] = axes[:, :, 0].numpy()
    if towards is not None:
        away = np.einsum("nc,nc->n", normal, near - (towards - middle).astype(np.float32)) > 0
        normal[away] *= -1
    return normal
