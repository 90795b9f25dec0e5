"""Entropy and largest weight of attention against the matrix written out."""

import pytest
import torch

from pcseg.ops.attention_entropy import attention_spread
from pcseg.ops.lines import axis_lines
from pcseg.ops.voxels import VoxelSet


@pytest.mark.parametrize("thickness", [1, 2])
def test_numbers_of_the_matrix(thickness: int) -> None:
    generator = torch.Generator().manual_seed(7)
    cells = torch.randperm(6 * 5 * 4, generator=generator)[:60].sort().values
    grid = torch.stack([cells // 20, cells // 4 % 5, cells % 4], 1).int()
    lines = axis_lines(VoxelSet(grid, torch.tensor([0, 60])), thickness=thickness)
    query, key = 2 * torch.randn(2, 60, 3, dtype=torch.float64, generator=generator)
    seen = torch.eye(60, dtype=torch.bool)
    for groups in lines.partitions:
        seen |= groups.id[:, None] == groups.id
    matrix = (query @ key.mT).masked_fill(~seen, -torch.inf).softmax(-1)
    found = attention_spread(query, key, lines)
    torch.testing.assert_close(found.entropy, -torch.special.xlogy(matrix, matrix).sum(1))
    torch.testing.assert_close(found.largest, matrix.amax(1))
    assert torch.equal(found.seen, seen.sum(1).double())
    equal = attention_spread(0 * query, key, lines)
    torch.testing.assert_close(equal.entropy, equal.seen.log())


def test_a_token_alone() -> None:
    grid = torch.tensor([[0, 0, 0], [1, 1, 1]]).int()
    found = attention_spread(
        torch.ones(2, 3), torch.ones(2, 3), axis_lines(VoxelSet(grid, torch.tensor([0, 2])))
    )
    torch.testing.assert_close(found.entropy, torch.zeros(2))
    torch.testing.assert_close(found.largest, torch.ones(2))
