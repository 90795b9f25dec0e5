"""What two processes compute together is what one computes; a separate file, so that the processes import little."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from pcseg.errors import UserError
from pcseg.metrics.confusion import ConfusionMatrix, confusion
from pcseg.nn.encoding import EncodingLayer
from pcseg.nn.norms import (
    BatchNorm,
    BiasedBatchNorm,
    InPlaceABN,
    PaddleBatchNorm,
    synchronize_norms,
)

C = 5
CASES: list[tuple[tuple[int, int], tuple[int, ...], Any]] = [
    ((6, 11), (), BatchNorm),
    ((1, 4), (), BiasedBatchNorm),
    ((3, 2), (6,), partial(InPlaceABN, eps=1e-3, momentum=0.01)),
    ((1, 1), (), BatchNorm),
    ((7, 0), (), BatchNorm),
    ((0, 1), (), BatchNorm),
    ((1, 0), (), PaddleBatchNorm),
]
"""Rows of both processes, axes after the channels, norm. With one row in all, running statistics normalize it."""


def two_processes(function: Any, folder: Path) -> None:
    mp.spawn(in_a_process, args=(function, str(folder / "rendezvous")), nprocs=2)


def in_a_process(rank: int, function: Any, file: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    torch.manual_seed(0)
    function(rank)
    torch.distributed.destroy_process_group()


def check_all(rank: int) -> None:
    for rows, more, kind in CASES:
        check(rank, rows, more, kind)
    check_pytorchs_own(rank)
    check_single_precision(rank)
    check_codewords(rank)
    check_confusion(rank)


def check(rank: int, rows: tuple[int, int], more: tuple[int, ...], kind: Any) -> None:
    """Output, running statistics and gradients, against one process with all rows."""
    one = kind(C).double()
    for tensor in (*one.parameters(), one.running_mean, one.running_var):
        tensor.data += torch.rand(C, dtype=torch.float64)
    shared = deepcopy(one)
    synchronize_norms(nn.Sequential(shared))
    whole = (7 * torch.randn(sum(rows), C, *more, dtype=torch.float64) + 40).requires_grad_()
    part = whole.detach().split(list(rows))[rank].clone().requires_grad_()
    weights = torch.randn(whole.shape, dtype=torch.float64)
    expected, found = one(whole), shared(part)
    (expected.sin() * weights).sum().backward()
    (found.sin() * weights.split(list(rows))[rank]).sum().backward()
    torch.testing.assert_close(found, expected.split(list(rows))[rank])
    torch.testing.assert_close(part.grad, whole.grad.split(list(rows))[rank])
    for ours, theirs in ((shared.running_mean, one.running_mean), (shared.running_var, one.running_var)):
        torch.testing.assert_close(ours, theirs)
    if one.skip_single:  # nothing was normalized: the parameters take no part
        return
    for ours, theirs in zip(shared.parameters(), one.parameters()):
        torch.distributed.all_reduce(ours.grad)
        torch.testing.assert_close(ours.grad, theirs.grad)
    shared.synchronized = False
    torch.testing.assert_close(shared(whole), one(whole))


def check_pytorchs_own(rank: int) -> None:
    """Norms of image backbones take part, under their names."""
    model = nn.Sequential(nn.Conv2d(2, C, 3), nn.Sequential(nn.BatchNorm2d(C, eps=1e-2))).double()
    shared = deepcopy(model)
    synchronize_norms(shared)
    assert shared.state_dict().keys() == model.state_dict().keys()
    images = torch.randn(4, 2, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(shared(images[2 * rank :][:2]), model(images)[2 * rank :][:2])
    torch.testing.assert_close(shared[1][0].running_var, model[1][0].running_var)


def check_codewords(rank: int) -> None:
    """Dead codewords restart on a token of the first process, also if the second one has no tokens."""
    layer = EncodingLayer(C, 3, restart=True)
    layer.usage[1] = 0
    rows = 8 - 8 * rank
    layer(torch.randn(rows, C), torch.tensor([0, rows]))
    found = [torch.empty_like(layer.codewords.data) for _ in range(2)]
    torch.distributed.all_gather(found, layer.codewords.data)
    assert torch.equal(*found)
    assert layer.codewords[1].norm() > 0.5  # a token, not the small initial codeword


def check_confusion(rank: int) -> None:
    torch.manual_seed(1)  # earlier checks draw more on one process
    pred, target = torch.randint(0, 4, (500,)), torch.randint(-1, 4, (500,))
    matrix = ConfusionMatrix(4)
    if rank == 0:  # the other process has no scene
        matrix.update(pred, target)
    assert torch.equal(matrix.summed_over_processes().counts, confusion(pred, target, 4))
    assert rank == 0 or not matrix.counts.any()


def check_single_precision(rank: int) -> None:
    """A mean far from 0 costs no more than it does on one process."""
    x = torch.randn(40, C) + 1000
    shared, exact = BatchNorm(C), BatchNorm(C).double()
    synchronize_norms(nn.Sequential(shared))
    expected = exact(x.double()).split([30, 10])[rank]
    found = shared(x.split([30, 10])[rank])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_two_processes_are_as_one(tmp_path: Path) -> None:
    two_processes(check_all, tmp_path)


def test_a_single_process_shares_with_none() -> None:
    norm = BatchNorm(C)
    x = torch.randn(6, C)
    expected = deepcopy(norm)(x)
    synchronize_norms(nn.Sequential(norm))
    assert torch.equal(norm(x), expected)


def test_norms_of_another_kind_are_refused() -> None:
    class Activated(nn.BatchNorm2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).relu()

    for norm, name in ((Activated(C), "Activated"), (nn.BatchNorm1d(C, affine=False), "BatchNorm1d")):
        model = nn.ModuleDict({"stem": nn.Sequential(norm)})
        with pytest.raises(
            UserError, match=rf"sync_batchnorm: stem\.0 is a {name}, which .* Set it to false"
        ):
            synchronize_norms(model)
