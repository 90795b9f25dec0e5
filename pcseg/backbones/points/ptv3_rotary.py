"""Rotary position embedding of continuous coordinates, as in Utonia ("PT-v3m3" of Pointcept)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.errors import require

AXES = 3


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Options of rotary position embeddings.

    Args:
        base: Frequency j of m/2 is ``base^(-2j/m)`` radians per unit of the coordinates, for m channels per axis.
        scale: Units of the coordinates per meter.
        shift: In training, add up to this to every coordinate.
        jitter: In training, multiply every axis by up to this factor or its inverse.
        rescale: In training, multiply all axes by up to this factor or its inverse.
        decoder: Also rotate in the decoder.

    Raises:
        UserError: ``base`` or ``scale`` is not positive.
    """

    base: float = 10.0
    scale: float = 1.0
    shift: float = 0.0
    jitter: float = 1.0
    rescale: float = 1.0
    decoder: bool = True

    def __post_init__(self) -> None:
        require(self.base > 0, "rotary.base", self.base, "Use a positive number; published: 10.")
        require(self.scale > 0, "scale", self.scale, "Use a positive number of units per meter, such as 0.5.")


class RotaryPosition(nn.Module):
    r"""Rotations of queries and keys by the angles :math:`c_a f_j` of coordinate axis a and frequency j.

    .. math:: \text{lo}' = \text{lo} \cos c_a f_j - \text{hi} \sin c_a f_j, \qquad
              \text{hi}' = \text{hi} \cos c_a f_j + \text{lo} \sin c_a f_j

    Args:
        channels: Width of queries and keys; every head has m channels per axis, first all lo, then all hi.
        options: Frequencies, and random changes of the coordinates in training, drawn in every forward pass.

    Convention:
        ``inv_freq`` ``(m/2,)`` is part of the state: published weights bring their own.
    """

    inv_freq: Tensor
    rows: Tensor

    def __init__(self, channels: int, heads: int, options: Rotary) -> None:
        super().__init__()
        self.options = options
        width = channels // heads
        per_axis = width // AXES
        # in float32, as published: in float64 results would differ by 1e-7
        exponent = torch.arange(0, per_axis, 2, dtype=torch.float32) / per_axis
        self.register_buffer("inv_freq", 1.0 / options.base**exponent)
        rows = torch.arange(3 * channels)
        pairs = rows[: 2 * channels].view(-1, AXES, 2, per_axis // 2).mT.flatten()
        self.register_buffer("rows", torch.cat([pairs, rows[2 * channels :]]), persistent=False)

    def forward(self, coord: Tensor) -> Tensor:
        """Return the rotations of coordinates ``(N, 3)`` as complex numbers ``(N, 3 m/2)``."""
        if self.training:
            coord = self._augmented(coord)
        angle = (coord[:, :, None] * self.inv_freq).flatten(1)
        return torch.polar(torch.ones_like(angle), angle)

    def project(self, x: Tensor, qkv: nn.Linear, turns: Tensor, heads: int) -> tuple[Tensor, ...]:
        """Return rotated queries and keys, and values, ``(N, H, D)`` each.

        Convention:
            The channels of queries and keys are permuted, which leaves their products unchanged: lo and hi lie side
            by side, as the two parts of a complex number.
        """
        bias = None if qkv.bias is None else qkv.bias[self.rows]
        joint = F.linear(x, qkv.weight[self.rows], bias).view(len(x), 3, heads, -1)
        query, key = rotate(joint[:, :2], turns).unbind(1)
        return query, key, joint[:, 2]

    def _augmented(self, coord: Tensor) -> Tensor:
        """Return coordinates with the random shift and scale of one forward pass, the same for all clouds."""
        options = self.options
        if options.shift > 0:
            coord = coord + self._uniform(options.shift, AXES).to(coord)
        for factor, count in ((options.jitter, AXES), (options.rescale, 1)):
            if factor > 1:
                coord = coord * self._uniform(math.log(factor), count).to(coord).exp()
        return coord

    def _uniform(self, bound: float, count: int) -> Tensor:
        """Return random numbers from -bound to bound; from the global generator, which a training step seeds."""
        return torch.empty(count).uniform_(-bound, bound)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Rotate adjacent pairs of channels of ``x`` ``(N, 2, H, D)`` by ``turns`` ``(N, D/2)``, in at least float32."""
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    turned = torch.view_as_complex(exact.unflatten(-1, (-1, 2))) * turns[:, None, None]
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)
