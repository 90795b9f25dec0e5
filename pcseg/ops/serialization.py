"""Positions of voxels along space-filling curves: z-order (Morton) and Hilbert codes of integer coordinates.

The Hilbert curve is computed by an automaton. Its state is how the axes are swapped and flipped at a cell, and whether
the curve runs backwards. At each level it reads the octant of the cell (one bit per axis), writes three bits of the
code and changes its state. A table holds several levels at once, so that a code takes a few gathers.
"""

from collections.abc import Iterable
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from pcseg.errors import UserError

Curve = Literal["z", "z-trans", "hilbert", "hilbert-trans"]
"""A curve; ``-trans`` runs it over the axes (y, x, z)."""

MAX_DEPTH = 16
LEVELS = 4
"""Bits per axis that are looked up at once: a table of 12 bits and all states fits the cache."""

ROTATION_PERIOD = 3
"""Leading zeros rotate the axes: a Hilbert code of depth d is also one of depth d + 3."""

State = tuple[tuple[int, int, int], tuple[int, int, int], int]
"""Order of the axes, which of them are flipped, and the parity of the Gray code so far."""


def encode(grid_pos: Tensor, curve: Curve, depth: int | Tensor) -> Tensor:
    """Return the position of every voxel along a curve, ``(N,)`` int64.

    Args:
        grid_pos: Integer coordinates (x, y, z) from 0, ``(N, 3)``.
        curve: Name of the curve.
        depth: Bits per axis, at most 16, for all voxels or for each, ``(N,)``. Only Hilbert curves depend on it.

    Raises:
        UserError: A coordinate is negative or takes more than :data:`MAX_DEPTH` bits.

    Convention:
        In a z-order code, bit i of x becomes bit 3i + 2, that of y bit 3i + 1, and that of z bit 3i. The Hilbert code
        is the one of Skilling (AIP Conf. Proc. 707, 2004) with x as the first axis. Its order of the same voxels
        changes at depth d + 1, and returns at d + 3. For both curves, ``code >> 3`` at depth d is the code of
        ``grid_pos >> 1`` at depth d - 1.
    """
    if len(grid_pos):
        check_coordinates(int(grid_pos.amin()), int(grid_pos.amax()))
    deepest = depth if isinstance(depth, int) else int(depth.amax()) if len(depth) else 0
    return code_along(spread_bits(grid_pos), curve, depth, deepest)


def code_along(bits: Tensor, curve: Curve, depth: int | Tensor, deepest: int) -> Tensor:
    """Return :func:`encode` of coordinates with :func:`spread_bits` ``(3, N)``, which serve all curves.

    Nothing waits for a GPU: ``deepest`` is the greatest depth, and coordinates are not checked.
    """
    code = z_code((bits[1], bits[0], bits[2]) if curve.endswith("-trans") else bits)
    return hilbert_from_z(code, depth, deepest) if curve.startswith("hilbert") else code


def check_coordinates(lowest: int, highest: int) -> None:
    """Raise a :class:`UserError` if coordinates do not fit :data:`MAX_DEPTH` bits."""
    if lowest < 0 or highest >> MAX_DEPTH:
        raise UserError(
            f"grid_pos: a cloud spans more than {1 << MAX_DEPTH} voxels along an axis. Check the grid size."
        )


def bits_needed(highest: int) -> int:
    """Return the depth that the published networks use for this greatest coordinate: the bits of ``highest + 1``.

    Convention:
        62 gives 6 bits, 63 gives 7. The result is at most :data:`MAX_DEPTH`.
    """
    return min((highest + 1).bit_length(), MAX_DEPTH)


def z_code(bits: Iterable[Tensor]) -> Tensor:
    """Interleave the bits of coordinates, given :func:`spread_bits` ``(3, N)``; x has the highest bits, ``(N,)``."""
    x, y, z = bits
    return (x << 2).bitwise_or_(y << 1).bitwise_or_(z)


def hilbert_from_z(code: Tensor, depth: int | Tensor, deepest: int) -> Tensor:
    """Return the Hilbert code of voxels with z-order code ``code``, see :func:`encode`."""
    table, starts = _tables(code.device)
    steps = -(-deepest // LEVELS)
    # Zeros above the depth rotate the axes: start so that they are straight when the depth is reached.
    turned = (steps * LEVELS - depth) % ROTATION_PERIOD
    state = starts[turned] if isinstance(turned, Tensor) else starts[turned].expand(len(code))
    bits = 3 * LEVELS
    mask = (1 << bits) - 1
    out = torch.zeros_like(code)
    for step in reversed(range(steps)):
        octants = (code >> bits * step).bitwise_and_(mask)
        entry = table.index_select(0, octants.bitwise_or_(state))
        out = out.bitwise_left_shift_(bits).bitwise_or_(entry & mask)
        state = entry.bitwise_and_(~mask)
    return out


def spread_bits(grid_pos: Tensor) -> Tensor:
    """Return the low 16 bits of coordinates ``(N, 3)`` with two zeros before each, ``(3, N)`` int64."""
    bits = grid_pos.t().long().contiguous()
    for shift, mask in ((16, 0xFF0000FF), (8, 0xF00F00F00F), (4, 0xC30C30C30C3), (2, 0x249249249249)):
        bits = (bits << shift).bitwise_or_(bits).bitwise_and_(mask)
    return bits


@cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the table of :data:`LEVELS` levels, and the states from which 0, 1 and 2 zeros lead to straight axes.

    Entry ``state | octants`` is ``next state | code``; states are multiples of ``8 ** LEVELS``.
    """
    straight: State = ((0, 1, 2), (0, 0, 0), 0)
    states = [straight]
    moves: list[list[tuple[int, State]]] = []
    while len(moves) < len(states):
        moves.append([_move(states[len(moves)], octant) for octant in range(8)])
        states += [state for state in {state: None for _, state in moves[-1]} if state not in states]
    number = {state: i for i, state in enumerate(states)}
    written = torch.tensor([[code for code, _ in of_state] for of_state in moves])
    following = torch.tensor([[number[state] for _, state in of_state] for of_state in moves])
    code, state = torch.zeros(len(states), 1, dtype=torch.long), torch.arange(len(states))[:, None]
    for _ in range(LEVELS):
        code = (code[..., None] << 3 | written[state]).flatten(1)
        state = following[state].flatten(1)
    table = (state << 3 * LEVELS | code).flatten()
    starts = [0]
    while len(starts) < ROTATION_PERIOD:  # backwards: the state that a zero takes to the last one
        starts.append(following[:, 0].tolist().index(starts[-1]))
    return table.to(device), (torch.tensor(starts) << 3 * LEVELS).to(device)


def _move(state: State, octant: int) -> tuple[int, State]:
    """Return three bits of the code and the next state: one level of Skilling's transform.

    Inside the cell, a set bit of an axis flips the first axis and a cleared bit swaps the two. The three bits are a
    Gray code, decoded over the whole word: every bit is the parity of those before it.
    """
    order, flipped, parity = state
    bits = [(octant >> 2 - axis & 1) ^ flip for axis, flip in zip(order, flipped)]
    axes = list(zip(order, flipped))
    code = 0
    for i, bit in enumerate(bits):
        parity ^= bit
        code = code << 1 | parity
        if bit:
            axes[0] = (axes[0][0], axes[0][1] ^ 1)
        else:
            axes[0], axes[i] = axes[i], axes[0]
    (a, b, c), (flip_a, flip_b, flip_c) = zip(*axes)
    return code, ((a, b, c), (flip_a, flip_b, flip_c), parity)
