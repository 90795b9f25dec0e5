"""Point Transformer V3 and Utonia against the published formulation, and Hilbert codes against arrays of bits."""

from collections.abc import Callable
from copy import deepcopy

import torch
from benchmarks.conv import shuffled_voxels
from benchmarks.harness import Row, measure
from torch import Tensor
from torch_geometric.data import Data

from pcseg.backbones.points.ptv3 import Utonia
from pcseg.backbones.points.ptv3_blocks import PatchAttention, PTv3Block
from pcseg.backbones.points.ptv3_curves import CurveLevel
from pcseg.backbones.points.ptv3_network import PTv3
from pcseg.ops.serialization import MAX_DEPTH, Curve, encode

PATCH_SIZES = (1024, 128)
NUM_CODES = 100_000
PUBLISHED = "published formulation: N x K weights in memory, codes bit by bit; our convolution in both"


def run() -> list[Row]:
    return [codes(), *(forward(patch_size) for patch_size in PATCH_SIZES), *utonia()]


def codes() -> Row:
    """Measure Hilbert codes of random voxels at depth 16."""
    grid_pos = torch.randint(1 << MAX_DEPTH, (NUM_CODES, 3), generator=torch.Generator().manual_seed(0))
    assert torch.equal(encode(grid_pos, "hilbert", MAX_DEPTH), hilbert_of_bits(grid_pos, MAX_DEPTH))
    return measure(
        f"Hilbert codes, {NUM_CODES:,} points, depth {MAX_DEPTH}",
        lambda: encode(grid_pos, "hilbert", MAX_DEPTH),
        "arrays of bits",
        lambda: hilbert_of_bits(grid_pos, MAX_DEPTH),
    )


def forward(patch_size: int) -> Row:
    """Measure the base model in evaluation, kernel maps and curves included."""
    grid_pos = shuffled_voxels()
    torch.manual_seed(0)
    model = PTv3(6, patch_size=patch_size).eval()
    x = torch.randn(len(grid_pos), 6)
    ptr = torch.tensor([0, len(grid_pos)])

    def ours() -> Tensor:
        with torch.inference_mode():
            return model(Data(x=x, grid_pos=grid_pos, ptr=ptr))[0].x

    published = as_published(model)

    def theirs() -> Tensor:
        with torch.inference_mode():
            return published(Data(x=x, grid_pos=grid_pos, ptr=ptr))[0].x

    torch.testing.assert_close(ours(), theirs(), rtol=1e-3, atol=1e-3)
    case = f"base model, {len(grid_pos):,} voxels, patch {patch_size}, forward"
    return measure(case, ours, PUBLISHED, theirs, rounds=3)


def utonia() -> list[Row]:
    """Measure the base encoder of Utonia, and the cost of its rotary embeddings."""
    grid_pos = shuffled_voxels()
    torch.manual_seed(0)
    model = Utonia(9).eval()
    batch = Data(
        x=torch.randn(len(grid_pos), 9),
        pos=0.02 * grid_pos,
        grid_pos=grid_pos,
        ptr=torch.tensor([0, len(grid_pos)]),
    )
    without = deepcopy(model)
    without.rotary = None
    for module in without.modules():
        if isinstance(module, PatchAttention):
            module.rotary = None

    def call(network: PTv3) -> Callable[[], Tensor]:
        return lambda: torch.inference_mode()(network)(batch)[-1].x

    published = as_published(model)
    torch.testing.assert_close(call(model)(), call(published)(), rtol=1e-3, atol=1e-3)
    case = f"Utonia, base encoder, {len(grid_pos):,} voxels, forward"
    return [
        measure(case, call(model), f"{PUBLISHED}, rotary embeddings in both", call(published), rounds=3),
        measure(case, call(model), "the same encoder without rotary embeddings", call(without), rounds=7),
    ]


def as_published(model: PTv3) -> PTv3:
    """Return a copy whose layers compute as the published code does."""
    published = deepcopy(model)
    published.level_type = LevelOfBits
    for module in published.modules():
        if isinstance(module, PatchAttention):
            module.__class__ = MaterializedAttention
        elif isinstance(module, PTv3Block):
            module.__class__ = WholeBlock
    return published


class MaterializedAttention(PatchAttention):
    """Attention with padded patches and the weights of all of them in one array."""

    def forward(self, x: Tensor, level: CurveLevel) -> Tensor:
        for number in range(len(level.curves)):  # all curves of a level, whichever a block uses
            level.permutation(number)
        order, inverse = level.permutation(self.curve)
        size = min(self.patch_size, len(x))
        padding, rest = order, len(x) % size
        if rest:  # the last patch is filled with slots of the one before
            begin = len(x) - rest
            padding = torch.cat([order, order[begin - size + rest : begin]])
        qkv = self.qkv(x)[padding].reshape(-1, size, 3, self.heads, x.shape[1] // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if self.rotary is not None and level.coord is not None:
            coord = level.coord[padding].view(-1, 1, size, 3, 1)
            angle = (coord * self.rotary.inv_freq).repeat(1, 1, 1, 1, 2).flatten(-2)
            query, key = (x * angle.cos() + half_turn(x) * angle.sin() for x in (query, key))
        weights = ((query * self.scale) @ key.transpose(-2, -1)).softmax(-1)
        out = (weights @ value).transpose(1, 2).reshape(len(padding), -1)
        return self.proj(out[inverse])


def half_turn(x: Tensor) -> Tensor:
    """Return ``[-hi, lo]`` for the channels ``[lo, hi]`` of each of the three axes."""
    low, high = x.unflatten(-1, (3, 2, -1)).unbind(-2)
    return torch.stack([-high, low], -2).flatten(-3)


class WholeBlock(PTv3Block):
    """The block on all rows at once."""

    def forward(self, x: Tensor, level: CurveLevel, position_of: Tensor | None = None) -> Tensor:
        position = self.position
        convolved = position.conv(x if position_of is None else position_of, level.voxels)
        x = x + position.norm(position.linear(convolved))
        x = x + self.attention(self.norm1(x), level)
        return x + self.mlp(self.norm2(x))


class LevelOfBits(CurveLevel):
    """Codes with the Hilbert curve on arrays of bits, for one cloud."""

    def codes(self, curve: Curve) -> Tensor:
        if not curve.startswith("hilbert"):
            return super().codes(curve)
        grid_pos = self.voxels.grid_pos - self.origin
        columns = grid_pos[:, [1, 0, 2]] if curve.endswith("-trans") else grid_pos
        return hilbert_of_bits(columns, max(self.depths))


def hilbert_of_bits(grid_pos: Tensor, depth: int) -> Tensor:
    """Compute Skilling's transform on an array of one byte per bit: ``3 * depth`` steps over arrays of N bytes."""
    places = torch.arange(depth - 1, -1, -1)
    bits = (grid_pos.long()[..., None] >> places & 1).to(torch.uint8)  # (N, axis, bit), highest first
    for bit in range(depth):
        for axis in range(3):
            lower = bits[:, :, bit + 1 :]
            flip = bits[:, axis, bit, None]
            lower[:, 0] ^= flip
            swap = (1 - flip) & (lower[:, 0] ^ lower[:, axis])
            lower[:, axis] ^= swap
            lower[:, 0] ^= swap
    gray = bits.transpose(1, 2).reshape(len(grid_pos), 3 * depth)
    for step in range(gray.shape[1] - 1):
        gray[:, step + 1] ^= gray[:, step]
    weights = 1 << torch.arange(3 * depth - 1, -1, -1)
    return (gray.long() * weights).sum(1)
