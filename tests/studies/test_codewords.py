"""Measures of the assignment of tokens to codewords, for assignments whose values are known."""

import pytest
import torch
from studies.codewords import codewords, measures

from pcseg.errors import UserError


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"variants": ["cos"]},
            r"--variants: unknown variant 'cos'\. Choose from distance \(published\); shared",
        ),
        ({"variants": []}, "--variants: is empty"),
        ({"seeds": 0}, "--seeds: 0 is out of range"),
        ({"batches": 0}, "--batches: 0 is out of range"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        codewords(**options)
