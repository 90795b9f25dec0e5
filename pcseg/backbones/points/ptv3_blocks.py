"""Layers of Point Transformer V3: positional convolution, attention in patches along a curve, and MLP."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcseg.backbones.points.ptv3_curves import CurveLevel
from pcseg.backbones.points.ptv3_rotary import Rotary, RotaryPosition
from pcseg.nn.norms import DropPath
from pcseg.nn.sparse_conv import SubmanifoldConv
from pcseg.nn.tokens import by_rows
from pcseg.ops.patches import PairBias, Patches, Run, attend_run, patch_attention
from pcseg.ops.segment import permute_rows

RUN_ROWS = 4096
"""Rows whose patches are attended to at once on a CPU."""


class PTv3Block(nn.Module):
    """Transformer block (Wu et al., CVPR 2024, Fig. 5): position, attention and MLP, each with a residual.

    Args:
        curve: Number of the curve along which patches attend.
        mlp_ratio: Width of the MLP, as a multiple of ``channels``.
        relative_position: Add a learned bias of the relative position to the logits.
        rotary: Rotate queries and keys by the coordinates of their voxels.
        drop_path: Probability that a branch is dropped for a voxel in training.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        curve: int = 0,
        patch_size: int = 1024,
        mlp_ratio: float = 4.0,
        relative_position: bool = False,
        rotary: Rotary | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.position = ConditionalPosition(channels)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = PatchAttention(
            channels, heads,
            curve=curve, patch_size=patch_size, relative_position=relative_position, rotary=rotary,
        )  # fmt: skip
        self.mlp = MLP(channels, int(channels * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, level: CurveLevel, position_of: Tensor | None = None) -> Tensor:
        """Map features ``(N, C)`` to ``(N, C)``; the position is computed from ``position_of`` if given."""
        x = x + self.position(x if position_of is None else position_of, level)
        x = x + self.drop_path(self.attention(self.norm1(x), level))
        return by_rows(lambda rows: rows + self.drop_path(self.mlp(self.norm2(rows))), x)


class ConditionalPosition(nn.Module):
    """Conditional positional encoding: a 3x3x3 submanifold convolution, a linear map and a norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = SubmanifoldConv(channels, channels)
        self.linear, self.norm = nn.Linear(channels, channels), nn.LayerNorm(channels)

    def forward(self, x: Tensor, level: CurveLevel) -> Tensor:
        return by_rows(lambda rows: self.norm(self.linear(rows)), self.conv(x, level.voxels))


class PatchAttention(nn.Module):
    """Multi-head attention of every voxel over its patch of a curve; see :class:`PTv3Block` for the arguments."""

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        curve: int,
        patch_size: int,
        relative_position: bool,
        rotary: Rotary | None,
    ) -> None:
        super().__init__()
        self.heads, self.curve, self.patch_size = heads, curve, patch_size
        self.scale = (channels // heads) ** -0.5
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.relative = RelativePosition(patch_size, heads) if relative_position else None
        self.rotary = None if rotary is None else RotaryPosition(channels, heads, rotary)

    def forward(self, x: Tensor, level: CurveLevel) -> Tensor:
        order, inverse = level.permutation(self.curve)
        patches = level.patches(self.patch_size)
        bias = None if self.relative is None else self.relative.between(level.voxels.grid_pos[order])
        turns = None if self.rotary is None else self.rotary(level.coord)[order]
        if x.device.type == "cpu":
            parts = [
                self._attend(run, keys, None if turns is None else turns[run.keys], bias)
                for run, keys in split_runs(x, order, inverse, patches)
            ]
            out = torch.cat(parts) if parts else x
        else:
            query, key, value = self._project(permute_rows(x, order, inverse), turns)
            out = patch_attention(query, key, value, patches, scale=self.scale, bias=bias)
            out = self.proj(out.flatten(1))
        return permute_rows(out, inverse, order)

    def _attend(self, run: Run, rows: Tensor, turns: Tensor | None, bias: PairBias | None) -> Tensor:
        query, key, value = self._project(rows, turns)
        return self.proj(attend_run(run, query[run.borrowed :], key, value, self.scale, bias).flatten(1))

    def _project(self, x: Tensor, turns: Tensor | None) -> tuple[Tensor, ...]:
        if self.rotary is not None and turns is not None:
            return self.rotary.project(x, self.qkv, turns, self.heads)
        return self.qkv(x).view(len(x), 3, self.heads, x.shape[1] // self.heads).unbind(1)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, curve={self.curve}, patch_size={self.patch_size}"


def split_runs(x: Tensor, order: Tensor, inverse: Tensor, patches: Patches) -> Iterator[tuple[Run, Tensor]]:
    """Yield a few patches of ``x[order]`` at a time with the rows of their keys, so that they stay in the cache."""
    runs = patches.short_runs(RUN_ROWS)
    if not torch.is_grad_enabled():
        for run in runs:
            yield run, x.index_select(0, order[run.first - run.borrowed : run.first + run.rows])
        return
    # The gradient of every selection would be a tensor of full size.
    x = permute_rows(x, order, inverse)
    borrowed = iter(patches.borrowed_keys(x))
    for run, rows in zip(runs, x.split([run.rows for run in runs])):
        yield run, next(borrowed) if run.borrowed else rows


class RelativePosition(nn.Module):
    """Bias of the logits per head: the sum of one learned number for each axis of ``grid_pos_i - grid_pos_j``.

    Convention:
        Differences are clipped to ``±floor(2 (4 patch_size)^(1/3))``, even where patches are shorter.
    """

    def __init__(self, patch_size: int, heads: int) -> None:
        super().__init__()
        self.bound = int((4 * patch_size) ** (1 / 3) * 2)
        self.table = nn.Parameter(torch.empty(3 * (2 * self.bound + 1), heads))
        nn.init.trunc_normal_(self.table, std=0.02)

    def between(self, grid_pos: Tensor) -> PairBias:
        """Return the bias between rows of ``grid_pos`` ``(N, 3)``."""
        steps = 2 * self.bound + 1

        def bias(queries: Tensor, keys: Tensor) -> Tensor:
            table = self.table.t()
            total = None
            for axis, pos in enumerate(grid_pos.long().unbind(1)):
                step = (pos[queries][:, :, None] - pos[keys][:, None, :]).clamp_(-self.bound, self.bound)
                part = table.index_select(1, (step + (self.bound + axis * steps)).flatten())
                total = part if total is None else total + part
            assert total is not None
            return total.view(-1, *step.shape).transpose(0, 1)

        return bias


class MLP(nn.Module):
    """Two linear maps with a GELU in between."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))
