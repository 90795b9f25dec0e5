"""Layers that treat every row by itself, applied to a block of rows after the other where nothing else is needed."""

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK_ROWS = 2048
"""Rows of a block: what a layer makes of them stays in the cache of a CPU for the next one."""


def by_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function(x)`` of a function that treats every row by itself.

    Convention:
        On a CPU it is called on blocks of rows, also in training: no intermediate result is of full size, and where
        gradients are wanted the way back goes block by block too.
    """
    if x.device.type != "cpu" or len(x) <= BLOCK_ROWS:
        return function(x)
    return torch.cat([function(rows) for rows in x.split(BLOCK_ROWS)])
