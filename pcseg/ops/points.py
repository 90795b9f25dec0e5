"""Raw points of a batch of clouds: any number of points at any positions, without voxels."""

from functools import cached_property

import torch
from torch import Tensor

from pcseg.errors import UserError, require
from pcseg.ops.clouds import Clouds, cloud_ptr, split_clouds
from pcseg.ops.groups import group_by

MAX_CELLS = 2**20
"""Largest extent of a cloud in cells: numbers of lines must fit in int64 for any batch."""


class PointSet(Clouds):
    """Positions of raw points, for neighborhoods (:mod:`pcseg.ops.neighbors`), lines and slabs.

    Args:
        pos: Coordinates, ``(N, D)``; lines and slabs need D = 3.
        ptr: First row of every cloud and N at the end, ``(B + 1,)``.
        batch: PyG's number of the cloud of every point, ``(N,)``; used without ``ptr``. Default: a single cloud.
        cell_size: Edge of the cells that lines and slabs are made of, in the unit of ``pos``.

    Raises:
        UserError: Coordinates are not finite, or ``ptr`` or ``batch`` does not fit, see
            :func:`~pcseg.ops.clouds.cloud_ptr`.

    Convention:
        A cell may hold several points, and points may coincide; each is a token of its own. Cells are centered at the
        lowest coordinates of the cloud, so that points on a grid of this size never lie on a border.
    """

    def __init__(
        self,
        pos: Tensor,
        ptr: Tensor | None = None,
        *,
        batch: Tensor | None = None,
        cell_size: float | None = None,
    ) -> None:
        if pos.ndim != 2 or not pos.is_floating_point():
            raise UserError(
                f"pos: has type {pos.dtype} and shape {tuple(pos.shape)}. Pass floating point (N, 3)."
            )
        super().__init__(cloud_ptr(pos, ptr, batch), len(pos), pos.device)
        invalid = len(pos) - int(pos.isfinite().all(1).sum())
        if invalid:
            raise UserError(f"pos: {invalid} points are NaN or infinite. Remove them.")
        require(cell_size is None or cell_size > 0, "cell_size", cell_size, "Use a positive length.")
        self.pos, self.cell_size = pos, cell_size

    @cached_property
    def local_pos(self) -> Tensor:
        """Cell of every point relative to the lowest one of its cloud, ``(N, D)`` int64."""
        if self.cell_size is None:
            raise UserError(
                "cell_size: lines, slabs and weights of raw points need cells. Set it, e.g. to 0.2 meters."
            )
        parts = [rows - rows.amin(0) if len(rows) else rows for rows in split_clouds(self.pos, self.ptr)]
        cells = (torch.cat(parts) / self.cell_size + 0.5).floor()
        if not bool((cells < MAX_CELLS).all()):
            raise UserError(
                f"cell_size: a cloud has more than {MAX_CELLS} cells of {self.cell_size} along an axis. Use a "
                "larger one."
            )
        return cells.long()

    @cached_property
    def extent(self) -> list[int]:
        """Edges, in cells, of a box that holds any of the clouds."""
        return (self.local_pos.amax(0) + 1).tolist() if len(self) else [1] * self.pos.shape[1]

    @cached_property
    def weight(self) -> Tensor:
        """Weight of every point, ``(N,)``: one over the number of points in its cell.

        Every occupied cell then weighs the same, as in a voxel grid: sums measure surfaces, not the sampling.
        """
        key = self.batch
        for column, edge in zip(self.local_pos.unbind(1), self.extent):
            key = key * edge + column
            key = torch.unique(key, return_inverse=True)[1]  # a product of three extents may overflow
        groups = group_by(key)
        return (1 / groups.ptr.diff().to(self.pos.dtype)).index_select(0, groups.id)
