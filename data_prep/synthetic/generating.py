"""Shared by the generators of rooms and frames: folders with recorded settings, and parallel generation."""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from data_prep.parallel import start_worker
from pcseg.errors import UserError
from pcseg.files import write_text

Result = TypeVar("Result")


def open_folder(note: Path, settings: dict[str, Any], *, kind: str) -> None:
    """Record the settings of a new folder, or check that its contents were made with the same settings.

    Args:
        note: File in the folder that records the settings.
        settings: Settings to record.
        kind: Contents of the folder, in the plural.

    Raises:
        UserError: The folder has other contents.
    """
    out, text = note.parent, json.dumps(settings, indent=1) + "\n"
    if note.is_file():
        if note.read_text() != text:
            raise UserError(
                f"{note}: the {kind} here have other settings. Choose another folder or delete this one."
            )
    elif any(not file.name.startswith(".") for file in out.iterdir()):
        raise UserError(f"{out}: holds other files. Choose an empty or a new folder.")
    else:
        write_text(note, text)


def each_room(make: Callable[..., Result], plans: Sequence[Any], *, workers: int) -> Iterator[Result]:
    """Make rooms in parallel and yield the result of ``make(plan)`` for each.

    ``make`` is called with ``threads=1`` if there are several processes, and must be picklable.
    """
    try:
        yield from map(make, plans) if workers == 1 or len(plans) < 2 else _in_processes(make, plans, workers)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished rooms are kept, run the command again to resume") from None


def _in_processes(make: Callable[..., Result], plans: Sequence[Any], workers: int) -> Iterator[Result]:
    # a forked process would inherit the threads of the ray caster and hang
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(plans)), mp_context=context, initializer=start_worker)
    try:
        for job in as_completed([pool.submit(make, plan, threads=1) for plan in plans]):
            yield job.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"--workers {workers}: a worker process died, probably out of memory. Finished rooms are kept. "
            "Run again with fewer workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
