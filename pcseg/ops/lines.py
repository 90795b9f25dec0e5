"""Axis lines of voxels, of raw points and of pixels: the paths of criss-cross attention."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pcseg.errors import require
from pcseg.ops.attention import Support
from pcseg.ops.groups import Groups, group_by, regular_groups
from pcseg.ops.points import PointSet
from pcseg.ops.voxels import VoxelSet

AXES = (0, 1, 2)


def axis_lines(
    voxels: VoxelSet | PointSet, *, axes: Sequence[int] = AXES, thickness: int = 1, shift: int = 0
) -> Support:
    """Return the lines of voxels that share a cloud and all coordinates but one: CCNet's criss-cross path in 3-D.

    Args:
        voxels: Positions of the tokens; the voxels of raw points are their cells.
        axes: Directions of the lines: 0, 1, 2 for x, y, z.
        thickness: Edge, in voxels, of the cross-section of a line; 1 is the published criss-cross.
        shift: Voxels by which the cross-sections are moved, so that alternate recurrences have other borders.

    Convention:
        On a planar grid the third axis adds nothing: its lines hold one voxel. Thick lines overlap, and so do lines
        through a cell of several points; a pair of tokens that shares several of them counts once. Lines are built
        once per voxel set.
    """
    check_line_options(axes, thickness)

    def build() -> Support:
        cell = (voxels.local_pos + shift).div(thickness, rounding_mode="floor")
        edges = [(edge - 1 + shift) // thickness + 1 for edge in voxels.extent]
        overlapping = thickness > 1 or isinstance(voxels, PointSet)
        lines = [_lines_along(voxels.batch, cell, edges, axis, overlapping) for axis in axes]
        return Support(partitions=lines, overlapping=overlapping)

    return voxels.cached(("lines", tuple(axes), thickness, shift), build)


def pixel_lines(batch_size: int, height: int, width: int, *, device: torch.device | None = None) -> Support:
    """Return the rows and columns of images whose pixels are tokens in (image, y, x) order."""
    pixels = torch.arange(batch_size * height * width, device=device).view(batch_size, height, width)
    rows, columns = pixels.reshape(-1, width), pixels.mT.reshape(-1, height)
    return Support(partitions=[regular_groups(rows), regular_groups(columns)])


def _lines_along(batch: Tensor, cell: Tensor, edges: Sequence[int], axis: int, overlapping: bool) -> Groups:
    """Group the rows with equal cloud and equal ``cell``, below ``edges``, in all columns but ``axis``."""
    key = batch
    for shared in AXES:
        if shared != axis:
            key = key * edges[shared] + cell[:, shared]
    return group_by(key, bound=None if overlapping else edges[axis])


def check_line_options(axes: Sequence[int], thickness: int = 1) -> None:
    """Raise a :class:`UserError` for options that define no lines."""
    require(thickness >= 1, "thickness", thickness, "Use 1 or more voxels.")
    valid = len(axes) > 0 and len(set(axes)) == len(axes) and set(axes) <= set(AXES)
    require(valid, "axes", list(axes), "Use one or more of 0, 1 and 2, each once.")
