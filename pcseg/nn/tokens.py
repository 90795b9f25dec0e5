"""Tokens and their positions, for modules that run on both voxels and pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from pcseg.errors import UserError
from pcseg.ops.points import PointSet
from pcseg.ops.voxels import VoxelSet


class Sites(Protocol):
    """Positions of the tokens of a batch: a :class:`~pcseg.ops.voxels.VoxelSet`, a
    :class:`~pcseg.ops.points.PointSet` or :class:`Pixels`.

    Modules read :attr:`ptr` and pass the sites on to their local convolutions, which find the neighbors.
    """

    @property
    def ptr(self) -> Tensor:
        """First token of every cloud, and N at the end, ``(B+1,)``, on the CPU."""
        ...


class LocalConv(Protocol):
    """Factory of convolutions over a small neighborhood: submanifold on voxels, nearest neighbors on raw points, 3×3 on
    pixels.

    The convolution takes tokens ``(N, in_channels)``, or a sequence of tensors that are concatenated along the
    channels, and their sites. It returns ``(N, out_channels)``. Absent neighbors count as zeros.
    """

    def __call__(self, in_channels: int, out_channels: int, /, *, bias: bool) -> nn.Module: ...


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Positions of the pixels of a batch of images, as tokens in (image, y, x) order."""

    batch_size: int
    height: int
    width: int
    device: torch.device

    @property
    def ptr(self) -> Tensor:
        return torch.arange(self.batch_size + 1) * (self.height * self.width)

    def voxels(self) -> VoxelSet:
        """Return the pixels as voxels (x, y, 0)."""
        y, x = torch.meshgrid(
            torch.arange(self.height, device=self.device),
            torch.arange(self.width, device=self.device),
            indexing="ij",
        )
        grid_pos = torch.stack([x, y, torch.zeros_like(x)], -1).flatten(0, 1)
        return VoxelSet(grid_pos.repeat(self.batch_size, 1), self.ptr)


def as_cells(sites: Sites, *, body: str, parts: str) -> VoxelSet | PointSet:
    """Return voxels, raw points with cells, or pixels as voxels (x, y, 0).

    Raises:
        UserError: The sites have no cells; the message names the body and the parts that it builds from them.
    """
    sites = sites.voxels() if isinstance(sites, Pixels) else sites
    if not isinstance(sites, VoxelSet | PointSet):
        raise UserError(
            f"{body}: needs voxels, points or pixels for its {parts}, not {type(sites).__name__}."
        )
    if isinstance(sites, PointSet) and sites.cell_size is None:
        raise UserError(
            f"{body}: its {parts} of raw points need cells. Set backbone.cell_size, e.g. to 0.2 meters."
        )
    return sites


def to_tokens(image: Tensor) -> tuple[Tensor, Pixels]:
    """Return the pixels of images ``(B, C, H, W)`` as tokens ``(B*H*W, C)``, and their positions.

    Convention:
        The tokens of channels-last images are a view.
    """
    batch_size, _, height, width = image.shape
    tokens = image.permute(0, 2, 3, 1).flatten(0, 2)
    return tokens, Pixels(batch_size=batch_size, height=height, width=width, device=image.device)


def to_image(tokens: Tensor, pixels: Pixels) -> Tensor:
    """Return tokens ``(B*H*W, C)`` as images ``(B, C, H, W)``, a channels-last view."""
    shape = (pixels.batch_size, pixels.height, pixels.width, tokens.shape[1])
    return tokens.view(shape).permute(0, 3, 1, 2)


class PixelConv(nn.Conv2d):
    """A 2-D convolution with "same" zero padding on tokens that are pixels.

    Args:
        kernel_size: Odd edge of the kernel.

    Convention:
        On a CPU it works on contiguous planes, which is up to a third faster than on tokens.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)

    def forward(self, x: Tensor | Sequence[Tensor], pixels: Pixels) -> Tensor:  # type: ignore[override]
        """Return ``(N, out_channels)`` for tokens ``(N, in_channels)``, or several to be concatenated."""
        parts = [to_image(part, pixels) for part in ([x] if isinstance(x, Tensor) else x)]
        if pixels.device.type == "cpu":
            parts[0] = parts[0].contiguous()  # torch.cat then makes planes of the others
        image = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        del parts
        return to_tokens(super().forward(image))[0].contiguous()


BLOCK_ROWS = 2048
"""Rows per block of :func:`by_rows`: few enough that results of one layer stay in the CPU cache for the next."""


def by_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ``function(x)`` of a function that treats every row separately.

    Convention:
        On a CPU it runs on one block of rows after the other, also in training. No intermediate result has the full
        size, and backward runs block by block too.
    """
    if x.device.type != "cpu" or len(x) <= BLOCK_ROWS:
        return function(x)
    return torch.cat([function(rows) for rows in x.split(BLOCK_ROWS)])
