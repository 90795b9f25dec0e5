"""Features of a published encoder for every point of a cloud, after the input transform of its package."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch

from pcseg.backbones.points.ptv3 import published_encoder
from pcseg.data.alignment import Frame
from pcseg.data.io.clouds import Cloud
from pcseg.data.normals import normals_from_inside
from pcseg.data.voxels import VoxelGroups, group_by_voxel

GRID_SIZE = {"utonia": 0.01, "sonata": 0.02}
"""Edge of a voxel in the units of the network."""

Scale = float | Literal["object"]
"""Units of the network per meter; ``object`` scales a cloud to the unit sphere."""


def encoder_input(
    pos: np.ndarray,
    color: np.ndarray,
    normal: np.ndarray,
    *,
    grid_size: float,
    scale: Scale = 0.5,
    center: bool = True,
    member: np.ndarray | int = 0,
) -> tuple[np.ndarray, VoxelGroups]:
    """Apply ``utonia.transform.default``: scale, center, keep one point per voxel.

    Returns ``[pos, color, normal]`` of the kept points, ``(V, 9)`` float32: coordinates in units of the network, color
    from 0 to 1; and the voxels.

    Args:
        pos: Meters, float32, ``(N, 3)``.
        color: 0 to 255, ``(N, 3)``; zeros if there is none.
        normal: Unit normals, ``(N, 3)``; zeros if there are none.
        grid_size: Edge of a voxel in the units of the network.
        center: Move the center of the bounding box to x = y = 0 and its bottom to z = 0.
        member: Point ``member % count`` of every voxel is kept; the package draws it at random.

    Convention:
        Products are computed in float64 and sums in float32, as in the package. The order of the voxels is that of
        :func:`group_by_voxel`, not by hash.
    """
    if scale == "object":
        pos, scale = unit_sphere(pos), 1.0
    pos = (pos.astype(np.float64) * scale).astype(np.float32)
    if center and len(pos):
        low, high = pos.min(axis=0), pos.max(axis=0)
        pos = pos - np.array([*((low + high) / 2)[:2], low[2]], dtype=np.float32)
    groups = group_by_voxel(pos, grid_size)
    rows = groups.pick(member)
    x = np.concatenate([pos[rows], color[rows] / 255, normal[rows]], axis=1, dtype=np.float32)
    return x, groups


def unit_sphere(pos: np.ndarray) -> np.ndarray:
    """Move the mean of points to the origin and scale the farthest one to length 1."""
    pos = pos - pos.mean(axis=0)
    return pos / np.sqrt((pos**2).sum(axis=1)).max(initial=1e-12)


def encoder_features(
    weights: Path, cloud: Cloud, rows: np.ndarray, frame: Frame, remarks: list[str], *, scale: Scale = 0.5
) -> np.ndarray:
    """Return the features of the points ``rows``, ``(N, C)`` float32, as in the package's demonstrations.

    Args:
        weights: File of a published encoder, or its name.
        remarks: Receives a line for every field that the cloud lacks.

    Raises:
        UserError: The file is not that of a published encoder.

    Convention:
        The features of the three coarsest levels are concatenated, and copied to all finer voxels.
    """
    network = published_encoder(weights)
    pos = frame.apply(cloud.pos[rows])
    color = np.zeros((len(rows), 3), np.float32) if cloud.color is None else cloud.color[rows]
    if cloud.color is None:
        remarks.append("color: not in the file, replaced by zeros; features may be less distinct")
    if cloud.normal is not None:
        normal = frame.rotate(cloud.normal[rows])
    else:
        normal = normals_from_inside(pos)
        remarks.append("normals: not in the file, estimated from neighbors")
    is_utonia = network.rotary is not None
    x, groups = encoder_input(
        pos, color, normal,
        grid_size=GRID_SIZE["utonia" if is_utonia else "sonata"], scale=scale if is_utonia else 1.0,
    )  # fmt: skip
    batch: Any = SimpleNamespace(
        x=torch.from_numpy(x), pos=torch.from_numpy(x[:, :3].copy()), grid_pos=torch.from_numpy(groups.grid_pos),
        ptr=torch.tensor([0, len(x)]),
    )  # fmt: skip
    with torch.inference_mode():
        levels = network.eval()(batch)
    found = levels[-1].x
    for step in range(len(levels) - 1, 0, -1):
        parent = levels[step].parent
        assert parent is not None
        found = found[parent]
        if step > len(levels) - 3:
            found = torch.cat([levels[step - 1].x, found], 1)
    return found.numpy()[groups.inverse]
