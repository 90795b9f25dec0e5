"""Checkpoints are whole after a kill, a full disk or a flipped bit, and a run resumes from the newest whole one."""

import logging
import os
import resource
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.checkpoints import write_checkpoint as write_model
from helpers.damage import clear

from pcseg.checkpoint import read_checkpoint, write_checkpoint
from pcseg.errors import UserError
from pcseg.files import make_folder
from pcseg.training.train import _find_start

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

FORK = get_context("fork")


def content(step: int, *, size: int = 200_000) -> dict:
    return {"state_dict": {"weight": torch.full((size,), float(step))}, "global_step": step}


def write_forever(path: Path, first: int) -> None:
    for step in range(first, 1_000_000):
        write_checkpoint(path, content(step))


@pytest.mark.slow
def test_killed_writer_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    path, step = tmp_path / "last.ckpt", 0
    write_checkpoint(path, content(0))
    rng = np.random.default_rng(0)
    for _ in range(20):
        writer = FORK.Process(target=write_forever, args=(path, step + 1))
        writer.start()
        before = path.stat().st_mtime_ns
        while path.stat().st_mtime_ns == before:  # the first write
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        writer.kill()
        writer.join()
        found = read_checkpoint(path).content
        assert found["global_step"] > step
        assert bool((found["state_dict"]["weight"] == found["global_step"]).all())
        step = found["global_step"]
    make_folder(tmp_path)
    assert list(tmp_path.iterdir()) == [path]  # and no temporary file of any of the 20


def write_with_limit(path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        write_checkpoint(path, content(2))
    except UserError as error:
        os._exit(0 if not clear(error, path.name) and len(list(path.parent.iterdir())) == 1 else 1)
    os._exit(2)


def test_full_disk_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    write_checkpoint(path, content(1))
    writer = FORK.Process(target=write_with_limit, args=(path,))
    writer.start()
    writer.join()
    assert writer.exitcode == 0
    assert read_checkpoint(path).content["global_step"] == 1


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = write_model(tmp_path / "best.ckpt")
    write_checkpoint(path, read_checkpoint(path).content)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    spots = [*rng.integers(0, 8 * len(whole), 200).tolist(), *range(8 * (len(whole) - 90), 8 * len(whole), 5)]
    for spot in spots:
        damaged = bytearray(whole)
        damaged[spot // 8] ^= 1 << spot % 8
        path.write_bytes(damaged)
        with pytest.raises(UserError) as error:
            read_checkpoint(path)
        assert not clear(error.value, "best.ckpt")


def test_run_resumes_from_the_newest_whole_checkpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    best, last = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    assert _find_start(tmp_path, resume=True) is None
    write_checkpoint(best, content(5))
    write_checkpoint(last, content(9))
    with pytest.raises(UserError, match="contains a run"):
        _find_start(tmp_path, resume=False)
    start = _find_start(tmp_path, resume=True)
    assert start is not None
    assert start.path == last
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 1
    last.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        start = _find_start(tmp_path, resume=True)
    assert start is not None
    assert start.content["global_step"] == 5
    assert f"{last}: damaged" in caplog.text
    assert f"Training continues from {best}" in caplog.text
    best.write_bytes(b"")
    with pytest.raises(UserError, match=r"last\.ckpt: damaged"):
        _find_start(tmp_path, resume=True)
