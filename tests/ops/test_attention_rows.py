"""Rows of criss-cross attention against explicit matrices."""

import pytest
import torch
from torch import Tensor

from pcseg.ops.attention import Step, Support, effective_attention, effective_reach, seen_by, union_attention
from pcseg.ops.lines import axis_lines
from pcseg.ops.voxels import VoxelSet


def make_step(seed: int, *, count: int = 60, thickness: int = 1) -> Step:
    generator = torch.Generator().manual_seed(7)
    cells = torch.randperm(6 * 5 * 4, generator=generator)[:count].sort().values
    grid = torch.stack([cells // 20, cells // 4 % 5, cells % 4], 1).int()
    lines = axis_lines(VoxelSet(grid, torch.tensor([0, count])), thickness=thickness)
    generator.manual_seed(seed)
    query, key = torch.randn(2, count, 3, dtype=torch.float64, generator=generator)
    return query, key, lines


def dense(query: Tensor, key: Tensor, lines: Support) -> Tensor:
    """Return the attention matrix by its definition."""
    seen = torch.eye(len(query), dtype=torch.bool)
    for groups in lines.partitions:
        seen |= groups.id[:, None] == groups.id
    return (query @ key.mT).masked_fill(~seen, -torch.inf).softmax(-1)


@pytest.mark.parametrize("thickness", [1, 2])
def test_seen_by_is_a_row_of_the_matrix(thickness: int) -> None:
    step = make_step(0, thickness=thickness)
    matrix = dense(*step)
    for share in (torch.eye(60, dtype=torch.float64)[17], torch.rand(60, dtype=torch.float64)):
        torch.testing.assert_close(seen_by(share, *step), share @ matrix, rtol=1e-12, atol=1e-14)


def test_seen_by_matches_union_attention() -> None:
    query, key, lines = make_step(1)
    value = torch.randn(60, 4, dtype=torch.float64)
    out = union_attention(query, key, value, lines)
    for token in (0, 31, 59):
        row = seen_by(torch.eye(60, dtype=torch.float64)[token], query, key, lines)
        torch.testing.assert_close(row @ value, out[token], rtol=1e-10, atol=1e-12)


def test_recurrences_multiply() -> None:
    """The last recurrence is applied first, and a token reaches more with each."""
    steps = [make_step(seed) for seed in (2, 3, 4)]
    a, b, c = (dense(*step) for step in steps)
    found = effective_attention(steps, 9)
    for row, expected in zip(found, (a[9], (b @ a)[9], (c @ b @ a)[9])):
        torch.testing.assert_close(row, expected, rtol=1e-10, atol=1e-14)
    reached = [int((row > 0).sum()) for row in found]
    assert reached == sorted(reached)
    assert reached[0] < reached[2]


@pytest.mark.parametrize("thickness", [1, 2])
def test_reach_is_where_attention_is_nonzero(thickness: int) -> None:
    steps = [make_step(seed, thickness=thickness) for seed in (2, 3, 4)]
    supports = [support for _, _, support in steps]
    for share, reached in zip(effective_attention(steps, 9), effective_reach(supports, 9)):
        torch.testing.assert_close(reached, share > 0)
    assert not effective_reach(supports, 9)[0].all()
