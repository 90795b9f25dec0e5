"""Processes of one training on one machine: when one dies, the others end soon, and one line names it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from signal import Signals

import lightning as L
from lightning.pytorch.callbacks import Callback

from pcseg.errors import UserError

SECONDS = 0.1
"""Time between two looks at the other processes; Lightning's own observer kills all of them without a word."""

PATIENCE = 20.0
"""Seconds in which the first process ends one whose communication failed."""


class WatchProcesses(Callback):
    """Watches the processes that Lightning started, from the first one, and the first one from the others."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if trainer.world_size == 1 or _is_started_elsewhere(trainer):
            return
        if trainer.local_rank == 0:
            watch = partial(_watch_others, started_processes(trainer))
        else:
            watch = partial(_watch_first, os.getppid())
        threading.Thread(target=watch, daemon=True).start()


def _is_started_elsewhere(trainer: L.Trainer) -> bool:
    """Return whether a program such as ``torchrun`` started the processes, which then ends them too."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return environment is None or environment.creates_processes_externally


def started_processes(trainer: L.Trainer) -> list[subprocess.Popen]:
    """Return the processes of ranks 1 and up that this process has started."""
    return list(getattr(trainer.strategy.launcher, "procs", []))


def _watch_others(others: Sequence[subprocess.Popen]) -> None:
    while any(process.poll() is None for process in others):
        for rank, process in enumerate(others, 1):
            if process.poll() in (130, -2):  # Ctrl-C, which this process notices too
                return
            if process.poll():
                _end(others, rank, process.returncode)
        time.sleep(SECONDS)


def _watch_first(first: int) -> None:
    while os.getppid() == first:
        time.sleep(SECONDS)
    # the process of rank 1 reports for all
    _end([], 0 if os.environ.get("LOCAL_RANK") == "1" else None, -9)


def _end(others: Sequence[subprocess.Popen], rank: int | None, status: int) -> None:
    """End this process and ``others``; a process that ended with status 1 has printed its own message."""
    for process in others:
        process.kill()
    if rank is not None and status != 1:
        how = Signals(-status).name if status < 0 else f"status {status}"
        sys.stderr.write(
            f"pcseg: error: trainer.devices: the process of rank {rank} died ({how}). Continue with --resume true.\n"
        )
        sys.stderr.flush()
    os._exit(1)


@contextmanager
def ending_together(trainer: L.Trainer) -> Iterator[None]:
    """Let one process report what all of them notice: an invalid setting, or that one of them died."""
    try:
        yield
    except UserError:
        if trainer.local_rank == 0:
            for process in started_processes(trainer):
                process.kill()
        elif trainer.world_size > 1 and not _is_started_elsewhere(trainer):
            time.sleep(2)  # the first process ends this one if it found the same
        raise
    except RuntimeError as error:
        lost = any(word in str(error).lower() for word in ("gloo", "nccl", "connection", "process group"))
        if trainer.world_size > 1 and lost and not _is_started_elsewhere(trainer):
            time.sleep(PATIENCE)
        raise
