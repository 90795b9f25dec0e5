"""Where tokens are, seen by modules that do not ask whether tokens are voxels or pixels."""

from typing import Protocol

from torch import Tensor, nn


class Sites(Protocol):
    """Places of the tokens of a batch: a set of voxels, or the pixels of images.

    Modules read :attr:`ptr` and hand the whole to their local operations, which find the neighbours.
    """

    @property
    def ptr(self) -> Tensor:
        """First token of every cloud and N at the end, ``(B+1,)``."""
        ...


class LocalConv(Protocol):
    """Makes the convolution over a small neighbourhood: submanifold on voxels, 3×3 on pixels.

    The module made is called with tokens ``(N, in_channels)``, or several that are taken side by side, and their
    sites and returns ``(N, out_channels)``; absent neighbours count as zeros.
    """

    def __call__(self, in_channels: int, out_channels: int, /, *, bias: bool) -> nn.Module: ...
