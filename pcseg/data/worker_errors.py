"""Name the file that a data worker was reading when it died."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pcseg.errors import UserError

LENGTH = 1024
"""Number of bytes stored of a path: its end."""

_row: torch.Tensor | None = None
"""Row of this worker in memory shared with the training process."""


def note_file(path: Path) -> None:
    """Record the file that is read next. Outside of a worker this does nothing."""
    if _row is not None:
        text = str(path).encode(errors="replace")[-LENGTH:]
        line = f"{os.getpid()}\n".encode() + text
        _row.copy_(torch.frombuffer(bytearray(line.ljust(len(_row), b"\0")), dtype=torch.uint8))


class WorkerFiles:
    """The file that each worker of a loader reads, in shared memory."""

    def __init__(self, num_workers: int) -> None:
        self._rows = torch.zeros(num_workers, 32 + LENGTH, dtype=torch.uint8).share_memory_()

    def start_worker(self, number: int) -> None:
        """Register a worker; runs in the worker when it starts."""
        global _row
        _row = self._rows[number]

    def files(self) -> dict[int, str]:
        """Return the last file of every worker that has read one, by process ID."""
        rows = [bytes(row.tolist()).rstrip(b"\0").decode(errors="replace") for row in self._rows]
        return {int(pid): path for pid, _, path in (row.partition("\n") for row in rows) if path}

    def explain(self, error: RuntimeError) -> UserError | None:
        """Return an error that names the file a dead worker was reading, ``None`` for unrelated errors."""
        text = str(error)
        if "DataLoader worker" not in text:
            return None
        files = self.files()
        pids = [int(number) for number in re.findall(r"\d+", text.partition("pid")[2])]
        dead = [files[pid] for pid in pids if pid in files]
        signal = re.search(r"signal: ([\w ]+)", text)
        how = f"was killed ({signal[1].strip()})" if signal else "died"
        where = ", ".join(dead) if dead else f"one of {', '.join(files.values()) or 'its first files'}"
        return UserError(
            f"{where}: a data worker {how} while reading this file. If the file is intact, memory ran out: lower "
            "data.num_workers or data.batch_size, then continue with --resume true."
        )


@contextmanager
def name_worker_files(loaders: Iterable[WorkerFiles]) -> Iterator[None]:
    """Turn the death of a worker into an error that names its file.

    PyTorch raises it from a signal handler, so it can appear anywhere in the main thread. ``loaders`` are the files of
    the workers of each loader, read when an error occurs.
    """
    try:
        yield
    except RuntimeError as error:
        for worker_files in loaders:
            explained = worker_files.explain(error)
            if explained is not None:
                raise explained from error
        raise
