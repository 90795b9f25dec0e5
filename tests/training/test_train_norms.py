"""Synchronized batch norms in two processes that torchrun starts, through the training command on a CPU."""

from pathlib import Path

import pytest
import torch
from helpers.fakes import write_fake_building
from helpers.training_runs import CONFIG, finish, run_here, start, weights, write_config

THREADS_AT_EXIT = """
import atexit, pathlib, runpy, sys
tasks = pathlib.Path("/proc/self/task")
atexit.register(lambda: print("at exit:", *[path.read_text().strip() for path in tasks.glob("*/comm")]))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_two_processes_with_synchronized_norms_equal_one(tmp_path: Path) -> None:
    """The same rooms in one batch and in one batch per process give the same weights and running statistics.

    No thread of Gloo remains when a process ends: one that frees a tensor then would abort it.
    """
    building = write_fake_building(tmp_path / "building", rooms={"Area_1": 6, "Area_5": 1}, num_points=1000)
    text = CONFIG.replace("mix_prob: 0.5", "val_rooms: [Area_1/office_1, Area_1/office_2]")
    # Adam would amplify gradients that consist of rounding errors only
    text = text.replace("torch.optim.AdamW, init_args: {lr: 0.01}", "torch.optim.SGD, init_args: {lr: 0.05}")
    text = text.replace("max_epochs: 6", "max_epochs: 2").replace(", ema_decay: 0.9", "")
    text += "loss: {class_path: pcseg.losses.segmentation.SegmentationLoss, init_args: {lovasz: 0.0}}\n"
    one = write_config(tmp_path / "one.yaml", building, tmp_path / "one", text)
    two = write_config(tmp_path / "two.yaml", building, tmp_path / "two", text)
    shared = ["--data.batch_size", "1", "--trainer.devices", "2", "--trainer.sync_batchnorm", "true"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    run_here(one)
    (tmp_path / "threads_at_exit.py").write_text(THREADS_AT_EXIT)
    output = finish(start(two, *shared, launcher=[*torchrun, str(tmp_path / "threads_at_exit.py")]))
    assert output.count("at exit:") == 2
    assert "gloo_runloop" not in output, output
    expected, found = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )
