"""Several processes: when one is killed, the other ends within 30 seconds and one line names the rank."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.fakes import write_fake_building
from helpers.training_runs import start, write_config


def child_of(process: int) -> int:
    """Return the process that runs rank 1; imports and data loading start other processes."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            with suppress(OSError):  # it has ended
                if b"LOCAL_RANK=1" in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
                    return int(child)
        time.sleep(0.1)
    raise TimeoutError


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_killed_process_is_named(rank: int, tmp_path: Path) -> None:
    building = write_fake_building(tmp_path / "rooms", rooms={"Area_1": 4, "Area_5": 1}, num_points=500)
    config = write_config(tmp_path / "config.yaml", building, tmp_path / "run")
    options = ("--trainer.devices", "2", "--trainer.max_epochs", "100000", "--data.val_fraction", "0.5")
    first = start(config, *options)
    try:
        second = child_of(first.pid)
        while not (tmp_path / "run" / "last.ckpt").exists():
            assert first.poll() is None, first.communicate()[0]
            time.sleep(0.1)
        os.kill([first.pid, second][rank], signal.SIGKILL)
        begin = time.monotonic()
        output = first.communicate(timeout=60)[0]
    finally:
        first.kill()  # a failed test must not leave an endless training
    assert time.monotonic() - begin < 30
    assert first.returncode == [-signal.SIGKILL, 1][rank]
    message = f"pcseg: error: trainer.devices: the process of rank {rank} died (SIGKILL). Continue with --resume true."
    assert [line for line in output.splitlines() if "error" in line.lower()] == [message]
    assert len(output.splitlines()) < 5, output
