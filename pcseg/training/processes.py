"""Stop all processes of a training on one machine when one of them dies, and name it in one line."""

import atexit
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
import torch.distributed as dist

from pcseg.errors import UserError

SECONDS = 0.1
"""Seconds between two checks of the other processes. Lightning's own observer kills all of them without a message."""

PATIENCE = 20.0
"""Seconds in which the first process ends one whose communication failed."""


FIRST = "PCSEG_FIRST_PROCESS"
"""Environment variable with the number of the process that started the others."""


def _starts_here(trainer: L.Trainer) -> bool:
    """Return whether pcseg starts the processes; a program such as ``torchrun`` ends the ones it has started."""
    if FIRST in os.environ:  # in a process that the first one has started
        return os.environ[FIRST] == str(os.getppid())
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return environment is not None and not environment.creates_processes_externally


def started_processes(trainer: L.Trainer) -> list[subprocess.Popen]:
    """Return the processes of ranks 1 and up that this process has started."""
    return list(getattr(trainer.strategy.launcher, "procs", []))


def _watch_others(trainer: L.Trainer, done: threading.Event) -> None:
    while not done.is_set():
        others = started_processes(trainer)
        for rank, process in enumerate(others, 1):
            if process.poll() in (130, -2):  # Ctrl-C, which this process notices too
                return
            if process.poll():
                _end(others, rank, process.returncode)
        time.sleep(SECONDS)


def _watch_first(first: int, done: threading.Event) -> None:
    while os.getppid() == first:
        time.sleep(SECONDS)
    if done.is_set():
        return
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


def _leave_group() -> None:
    """Destroy the process group while Python still runs, as Lightning does for NCCL.

    A thread of Gloo that frees a tensor during Python's finalization aborts the process: a training that succeeded
    would end with SIGABRT (4 processes in 25 runs of two on one busy core).
    """
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def ending_together(trainer: L.Trainer) -> Iterator[None]:
    """Let one process report what all of them notice: an invalid setting, or that one of them died."""
    several = trainer.num_devices * trainer.num_nodes > 1
    if several:
        atexit.register(_leave_group)
    if not several or not _starts_here(trainer):
        yield
        return
    is_first, done = trainer.local_rank == 0, threading.Event()
    if is_first:
        os.environ[FIRST] = str(os.getpid())
    watch = partial(_watch_others, trainer, done) if is_first else partial(_watch_first, os.getppid(), done)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except UserError:
        done.set()
        for process in started_processes(trainer):
            process.kill()
        if not is_first:
            time.sleep(2)  # the first process ends this one if it found the same
        raise
    except RuntimeError as error:
        if any(word in str(error).lower() for word in ("gloo", "nccl", "connection", "process group")):
            time.sleep(PATIENCE)
        raise
    finally:
        done.set()
        if is_first:
            del os.environ[FIRST]
