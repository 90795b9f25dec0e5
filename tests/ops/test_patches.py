"""Attention in patches against a loop over rows in float64, for every implementation."""

import pytest
import torch
from torch import Tensor

from pcseg.ops import patches as patches_module
from pcseg.ops.flash import Sequences
from pcseg.ops.patches import cut_patches, patch_attention

SIZES = [13, 0, 3, 8, 1, 6]
HEADS, WIDTH = 2, 8
CPU = torch.device("cpu")


def seen_by(sizes: list[int], size: int) -> list[list[int]]:
    """Return the keys of every row by the published rule: rows of the previous patch fill the last one."""
    seen, first = [], 0
    for length in sizes:
        for row in range(length):
            patch = row // size
            rows = list(range(patch * size, min((patch + 1) * size, length)))
            if length > size:
                rows += [(patch - 1) * size + slot for slot in range(len(rows), size)]
            seen.append([first + key for key in rows])
        first += length
    return seen


def brute(query: Tensor, key: Tensor, value: Tensor, size: int, scale: float, bias=None) -> Tensor:
    out = []
    for row, keys in enumerate(seen_by(SIZES, size)):
        logits = torch.einsum("hd,khd->hk", query[row], key[keys]) * scale
        if bias is not None:
            logits = logits + bias(torch.tensor([[row]]), torch.tensor([keys]))[0, :, 0]
        out.append(torch.einsum("hk,khd->hd", logits.softmax(-1), value[keys]))
    return torch.stack(out)


def operands() -> list[Tensor]:
    return [torch.randn(sum(SIZES), HEADS, WIDTH, dtype=torch.float64, requires_grad=True) for _ in range(3)]


def cut(size: int):
    return cut_patches(torch.tensor([0, *SIZES]).cumsum(0), size, CPU)


@pytest.mark.parametrize("size", [1, 4, 5, 100])
@pytest.mark.parametrize("with_bias", [False, True])
def test_equals_a_loop(size: int, with_bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches_module, "BIAS_ENTRIES", 2 * HEADS * size**2)  # several blocks
    table = torch.randn(HEADS, sum(SIZES), dtype=torch.float64, requires_grad=True)

    def bias(queries: Tensor, keys: Tensor) -> Tensor:
        return (table[:, queries][..., :, None] * table[:, keys][..., None, :]).transpose(0, 1)

    chosen = bias if with_bias else None
    inputs = operands()
    ours = patch_attention(*inputs, cut(size), scale=0.3, bias=chosen)
    expected = brute(*inputs, size, 0.3, chosen)
    torch.testing.assert_close(ours, expected)
    grad = torch.randn_like(ours)
    wanted = [*inputs, table] if with_bias else inputs
    for a, b in zip(*(torch.autograd.grad(out, wanted, grad) for out in (ours, expected))):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("scale", [0.3, WIDTH**-0.5])
def test_one_call_for_all_sequences(size: int, scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments of a sequence kernel, here replaced by a loop."""

    def kernel(q: Tensor, k: Tensor, v: Tensor, sequences: Sequences, *, scale: float) -> Tensor:
        starts_q, starts_k, longest = sequences
        assert starts_q.dtype == starts_k.dtype == torch.int32
        assert longest == starts_k.diff().max() >= starts_q.diff().max()
        out = []
        bounds = zip(starts_q, starts_q[1:], starts_k, starts_k[1:])
        for a, b, c, d in bounds:
            weights = (torch.einsum("qhd,khd->hqk", q[a:b], k[c:d]) * scale).softmax(-1)
            out.append(torch.einsum("hqk,khd->qhd", weights, v[c:d]))
        return torch.cat(out)

    monkeypatch.setattr(patches_module, "takes_flash", lambda *_: True)
    monkeypatch.setattr(patches_module, "flash_attention", kernel)
    inputs = operands()
    torch.testing.assert_close(patch_attention(*inputs, cut(size), scale=scale), brute(*inputs, size, scale))


def test_no_work_beyond_the_last_patch() -> None:
    patches = cut(4)
    assert sum(run.rows for run in patches.runs) == sum(SIZES), "every row is a query once"
    assert max(run.length + run.borrowed for run in patches.runs) == 4
    short = patches.short_runs(4)
    assert [run.count for run in short] == [1] * len(short)
    assert sum(run.rows for run in short) == sum(SIZES)


def test_empty_input() -> None:
    empty = torch.zeros(0, HEADS, WIDTH)
    patches = cut_patches(torch.tensor([0, 0]), 4, CPU)
    assert patch_attention(empty, empty, empty, patches, scale=1.0).shape == (0, HEADS, WIDTH)
