"""Joint attention by a kernel for sequences against attention in blocks, in float64."""

import pytest
import torch
from helpers.dense_conv import random_voxels
from torch import Tensor

from pcseg.ops.attention import union_attention
from pcseg.ops.flash import SequenceKernel, Sequences
from pcseg.ops.joint_attention import joint_attention
from pcseg.ops.lines import axis_lines, pixel_lines
from pcseg.ops.voxels import VoxelSet

FORWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def parts(x: Tensor, sequences: Sequences) -> tuple[Tensor, ...]:
    """The tokens of every sequence, ``(1, H, L, D)``."""
    assert sequences.queries.dtype == torch.int32
    lengths = sequences.queries.diff().tolist()
    assert max(lengths) <= sequences.longest
    return tuple(part.transpose(0, 1)[None] for part in x.split(lengths))


def attend(q: Tensor, k: Tensor, v: Tensor, sequences: Sequences) -> tuple[Tensor, Tensor]:
    found = [FORWARD(*each, 0.0, False, scale=1.0) for each in zip(*(parts(x, sequences) for x in (q, k, v)))]
    return torch.cat([out[0] for out, _ in found], 1).transpose(0, 1), torch.cat(
        [lse[0] for _, lse in found], 1
    )


def gradients(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, sequences: Sequences):
    given = [parts(x, sequences) for x in (grad, q, k, v, out, lse.t()[:, :, None])]
    found = [BACKWARD(*each, norm[..., 0], 0.0, False, scale=1.0) for *each, norm in zip(*given)]
    return tuple(torch.cat([x[0] for x in each], 1).transpose(0, 1) for each in zip(*found))


ON_CPU = SequenceKernel(attend, gradients)
"""The flash operators of a CPU, which have the arguments and results of those of a GPU, per sequence."""


@pytest.mark.parametrize("axes", [(2,), (0, 1), (0, 1, 2)])
@pytest.mark.parametrize(("depth", "channels"), [(5, 12), (16, 8)])
def test_equals_attention_in_blocks(axes: tuple[int, ...], depth: int, channels: int) -> None:
    lines = axis_lines(random_voxels([60, 1, 0, 45], edge=6), axes=axes)
    query, key = torch.randn(2, 106, depth, dtype=torch.float64)
    inputs = [x.requires_grad_() for x in (query, key, torch.randn(106, channels, dtype=torch.float64))]
    ours, expected = joint_attention(*inputs, lines.partitions, ON_CPU), union_attention(*inputs, lines)
    torch.testing.assert_close(ours, expected)
    grad = torch.randn_like(ours)
    for a, b in zip(*(torch.autograd.grad(out, inputs, grad) for out in (ours, expected))):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_pixels() -> None:
    lines = pixel_lines(2, 4, 7)
    query, key, value = torch.randn(3, 56, 8, dtype=torch.float64)
    ours = joint_attention(query, key, value, lines.partitions, ON_CPU)
    torch.testing.assert_close(ours, union_attention(query, key, value, lines))


def test_half_precision() -> None:
    """Logits beyond the range of float16 give weights; errors are those of rounded outputs."""
    lines = axis_lines(random_voxels([120], edge=6))
    query, key, value = (200 * torch.randn(3, 120, 16)).to(torch.bfloat16)
    ours = joint_attention(query, key, value, lines.partitions, ON_CPU)
    expected = union_attention(query.double(), key.double(), value.double(), lines)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.double(), expected, rtol=0, atol=5 * 2**-8 * float(value.abs().max()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("channels", [16, 40])
def test_flash_on_a_gpu(channels: int) -> None:
    """Output and gradients of the kernels of a GPU, of which a CPU checks only the arguments."""
    voxels = random_voxels([300, 0, 200], edge=8)
    tensors = [torch.randn(500, width).to(torch.bfloat16) for width in (8, 8, channels, channels)]
    results = []
    for device, dtype in (("cpu", torch.float64), ("cuda", torch.bfloat16)):
        *inputs, grad = (x.to(device, dtype, copy=True) for x in tensors)
        inputs = [x.requires_grad_() for x in inputs]
        out = union_attention(*inputs, axis_lines(VoxelSet(voxels.grid_pos.to(device), voxels.ptr)))
        results.append([out, *torch.autograd.grad(out, inputs, grad)])
    for exact, found in zip(*results):
        assert (found.cpu().double() - exact).abs().max() < 0.03 * exact.abs().max()
