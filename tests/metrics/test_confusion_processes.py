"""Confusion matrices of several processes. A separate file, so that the processes import few modules."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from pcseg.metrics.confusion import ConfusionMatrix, confusion


def count_in_a_process(rank: int, file: str, pred: torch.Tensor, target: torch.Tensor) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    matrix = ConfusionMatrix(4)
    if rank == 0:  # the other process has no scene
        matrix.update(pred, target)
    total = matrix.summed_over_processes()
    torch.distributed.destroy_process_group()
    assert torch.equal(total.counts, confusion(pred, target, 4))
    assert rank == 0 or not matrix.counts.any()


@pytest.mark.slow
def test_sums_over_processes(tmp_path: Path) -> None:
    pred, target = torch.randint(0, 4, (500,)), torch.randint(-1, 4, (500,))
    mp.spawn(count_in_a_process, args=(str(tmp_path / "rendezvous"), pred, target), nprocs=2)
