"""Measures of the assignment of tokens to codewords, for assignments whose values are known."""

import pytest
import torch
from studies.codewords import measures


@pytest.mark.parametrize(
    ("assign", "expected"),
    [
        (torch.full((6, 4), 0.25), [0.25, 1, 0.25, 4, 1]),
        (torch.eye(4)[[0, 0, 0, 0]], [1, 0, 1, 1, 1]),
        (torch.eye(4)[[0, 1, 2, 3]], [1, 0, 0.25, 4, 4]),
        (torch.tensor([[0.5, 0.5, 0, 0], [1, 0, 0, 0]]), [0.75, 0.25, 0.75, 4 / 27**0.25, 1]),
    ],
)
def test_measures(assign: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(measures(assign), torch.tensor(expected, dtype=torch.float32))
