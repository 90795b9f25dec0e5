"""Which voxels lie on common axis lines, thick lines or planes: what criss-cross attention looks along."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.ops.attention import Support
from pcseg.ops.groups import Groups, group_by, regular_groups
from pcseg.ops.voxels import VoxelSet

AXES = (0, 1, 2)


def axis_lines(
    voxels: VoxelSet, *, axes: Sequence[int] = AXES, thickness: int = 1, shift: int = 0
) -> Support:
    """Voxels of a cloud that share all coordinates but one: the criss-cross path of CCNet in 3-D.

    Args:
        voxels: Where the tokens are.
        axes: Directions of the lines: 0, 1, 2 for x, y, z.
        thickness: Edge in voxels of the cross-section of a line; 1 is the published criss-cross.
        shift: Moves the cross-sections by so many voxels, to give alternate recurrences other borders.

    Convention:
        On a planar grid the third axis adds nothing: its lines hold one voxel. Thick lines overlap; a pair of
        voxels that shares several of them counts once. They are built once for a set of voxels and kept there.
    """
    check_line_options(axes, thickness)
    key = (tuple(axes), thickness, shift)
    if key not in voxels.lines:
        cell = (voxels.local_pos + shift).div(thickness, rounding_mode="floor")
        lines = [_groups_along(voxels, cell, [other for other in AXES if other != axis]) for axis in axes]
        voxels.lines[key] = Support(partitions=lines, overlapping=thickness > 1)
    return voxels.lines[key]


def axis_planes(voxels: VoxelSet, *, axes: Sequence[int] = AXES) -> Support:
    """Voxels of a cloud that share one coordinate; ``axes`` are the normals of the planes.

    Convention:
        Planes join all voxels of a cloud in two recurrences, but hold far more pairs than lines: meant for
        coarse levels.
    """
    check_line_options(axes)
    planes = [_groups_along(voxels, voxels.local_pos, [axis]) for axis in axes]
    return Support(partitions=planes, overlapping=True)


def pixel_lines(batch_size: int, height: int, width: int, *, device: torch.device | None = None) -> Support:
    """Rows and columns of images whose pixels are tokens in (image, y, x) order."""
    pixels = torch.arange(batch_size * height * width, device=device).view(batch_size, height, width)
    rows, columns = pixels.reshape(-1, width), pixels.mT.reshape(-1, height)
    return Support(partitions=[regular_groups(rows), regular_groups(columns)])


def _groups_along(voxels: VoxelSet, cell: Tensor, shared: list[int]) -> Groups:
    """Rows with equal cloud and equal ``cell`` in the ``shared`` columns."""
    key = voxels.batch
    for axis in shared:
        column = cell[:, axis]
        key = key * _extent(column) + column
    return group_by(key)


def _extent(column: Tensor) -> int:
    return int(column.max()) + 1 if len(column) else 1


def check_line_options(axes: Sequence[int], thickness: int = 1) -> None:
    """Raise a :class:`UserError` for lines that cannot be."""
    if thickness < 1:
        raise UserError(f"line thickness is {thickness}; choose 1 or more voxels")
    if not axes or len(set(axes)) < len(axes) or not set(axes) <= set(AXES):
        raise UserError(f"axes are {list(axes)}; choose one or more of 0, 1, 2, each once")
