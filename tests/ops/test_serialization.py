"""Codes along space-filling curves against Skilling's transform, and properties of the curves."""

import pytest
import torch
from torch import Tensor

from pcseg.errors import UserError
from pcseg.ops.serialization import MAX_DEPTH, bits_needed, encode


def skilling(point: list[int], depth: int) -> int:
    """Return the code of the published algorithm: axes to transpose bit by bit, then the Gray code of the word."""
    x = list(point)
    for level in reversed(range(depth)):
        bit = 1 << level
        for axis in range(3):
            if x[axis] & bit:
                x[0] ^= bit - 1
            else:
                swapped = (x[0] ^ x[axis]) & (bit - 1)
                x[0] ^= swapped
                x[axis] ^= swapped
    code = parity = 0
    for level in reversed(range(depth)):
        for axis in range(3):
            parity ^= x[axis] >> level & 1
            code = code << 1 | parity
    return code


def cube(depth: int) -> Tensor:
    return torch.cartesian_prod(*[torch.arange(1 << depth)] * 3)


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 8, 11, 13, 16])
def test_hilbert_equals_skilling(depth: int) -> None:
    grid_pos = torch.randint(1 << depth, (100, 3))
    expected = [skilling(point, depth) for point in grid_pos.tolist()]
    assert encode(grid_pos, "hilbert", depth).tolist() == expected
    expected = [skilling([y, x, z], depth) for x, y, z in grid_pos.tolist()]
    assert encode(grid_pos, "hilbert-trans", depth).tolist() == expected


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_hilbert_steps_to_a_neighbor(depth: int) -> None:
    grid_pos = cube(depth)
    code = encode(grid_pos, "hilbert", depth)
    assert torch.equal(code.sort().values, torch.arange(8**depth)), "every position once"
    steps = grid_pos[code.argsort()].diff(dim=0).abs().sum(1)
    assert (steps == 1).all()


def test_z_interleaves_bits() -> None:
    highest = sum(4 << 3 * bit for bit in range(16))
    for x, y, z, code in ((1, 0, 0, 4), (0, 1, 0, 2), (0, 0, 1, 1), (2, 0, 0, 32), (65535, 0, 0, highest)):
        assert encode(torch.tensor([[x, y, z]]), "z", MAX_DEPTH).tolist() == [code]
        assert encode(torch.tensor([[y, x, z]]), "z-trans", MAX_DEPTH).tolist() == [code]


@pytest.mark.parametrize("curve", ["z", "z-trans", "hilbert", "hilbert-trans"])
def test_coarser_codes_are_leading_bits(curve) -> None:
    grid_pos = torch.randint(1 << 10, (200, 3))
    code = encode(grid_pos, curve, 10)
    assert torch.equal(code >> 3, encode(grid_pos >> 1, curve, 9))
    assert torch.equal(code >> 30, torch.zeros_like(code))


def test_hilbert_repeats_every_third_depth() -> None:
    grid_pos = cube(3)
    orders = [encode(grid_pos, "hilbert", depth).argsort() for depth in (3, 4, 5, 6)]
    assert torch.equal(orders[0], orders[3])
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


def test_depth_of_each_voxel() -> None:
    grid_pos = torch.randint(8, (90, 3))
    depth = torch.tensor([3, 7, 12]).repeat(30)
    found = encode(grid_pos, "hilbert", depth)
    for value in (3, 7, 12):
        chosen = depth == value
        assert torch.equal(found[chosen], encode(grid_pos[chosen], "hilbert", value))


@pytest.mark.parametrize("depth", [0, 5, torch.zeros(0, dtype=torch.long)])
def test_no_voxels(depth: int | Tensor) -> None:
    assert encode(torch.zeros(0, 3, dtype=torch.int32), "hilbert", depth).shape == (0,)


def test_bits_needed() -> None:
    assert [bits_needed(highest) for highest in (0, 1, 62, 63, 65534, 65535, 10**6)] == [
        1,
        2,
        6,
        7,
        16,
        16,
        16,
    ]


@pytest.mark.parametrize("value", [-1, 65536])
def test_refuses_invalid_values(value: int) -> None:
    with pytest.raises(UserError, match="65536 voxels"):
        encode(torch.tensor([[0, value, 0]]), "z", 16)
