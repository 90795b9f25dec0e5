"""Which file each data worker reads, so that a worker that dies can be told with its file."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from pcseg.errors import UserError

LENGTH = 1024
"""Bytes that are kept of a path: its end."""

_here: torch.Tensor | None = None
"""The row of this worker, in memory that it shares with the process that trains."""


def note_file(path: Path) -> None:
    """Note what is read from now on; outside of a worker nothing happens."""
    if _here is not None:
        text = str(path).encode(errors="replace")[-LENGTH:].ljust(LENGTH, b"\0")
        _here[8:] = torch.frombuffer(bytearray(text), dtype=torch.uint8)


class Watch:
    """What the workers of one loader do.

    Args:
        num_workers: Number of workers.
    """

    def __init__(self, num_workers: int) -> None:
        self._rows = torch.zeros(num_workers, 8 + LENGTH, dtype=torch.uint8).share_memory_()

    def start_worker(self, number: int) -> None:
        """Runs in every worker when it starts."""
        global _here
        _here = self._rows[number]
        _here[:8] = torch.frombuffer(bytearray(os.getpid().to_bytes(8, "little")), dtype=torch.uint8)

    def files(self) -> dict[int, str]:
        """The last file of every worker that has begun one, by its process number."""
        rows = [bytes(row.tolist()) for row in self._rows]
        texts = {
            int.from_bytes(row[:8], "little"): row[8:].rstrip(b"\0").decode(errors="replace") for row in rows
        }
        return {pid: text for pid, text in texts.items() if pid and text}

    def explain(self, error: RuntimeError) -> UserError | None:
        """The line that says which file a dead worker was at; ``None`` if the error is about something else."""
        text = str(error)
        if "DataLoader worker" not in text:
            return None
        files = self.files()
        named = [int(number) for number in re.findall(r"\d+", text.partition("pid")[2])]
        dead = [files[pid] for pid in named if pid in files]
        signal = re.search(r"signal: ([\w ]+)", text)
        how = f"was killed ({signal[1].strip()})" if signal else "died"
        what = (
            f"while it read {', '.join(dead)}"
            if dead
            else f"at one of {', '.join(files.values()) or 'no file yet'}"
        )
        return UserError(
            f"a data worker {how} {what}; if the file is sound, memory ran out: lower data.num_workers or "
            "data.batch_size, then go on with --resume true"
        )


@contextmanager
def naming_files(*loaders: DataLoader) -> Iterator[None]:
    """Turn the death of a worker of ``loaders`` into the line that names its file, wherever it is noticed.

    PyTorch raises it from a signal handler: in whatever the main thread does at that time.
    """
    try:
        yield
    except RuntimeError as error:
        watches = [watch for loader in loaders if isinstance(watch := getattr(loader, "watch", None), Watch)]
        for watch in watches:
            explained = watch.explain(error)
            if explained is not None:
                raise explained from error
        raise
