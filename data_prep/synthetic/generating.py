"""What the generators of rooms and of frames share: a folder of one set of settings, and rooms made in parallel."""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from data_prep.parallel import start_worker
from data_prep.synthetic.plan import RoomPlan
from pcseg.errors import UserError
from pcseg.files import write_text

Result = TypeVar("Result")


def open_folder(note: Path, settings: dict[str, Any], *, kind: str) -> None:
    """Create the folder of ``note``, or make sure that what is in it was made with the same settings.

    Args:
        note: File in the folder that says what it was made with.
        settings: What the file says.
        kind: What the folder holds, in the plural.

    Raises:
        UserError: The folder holds something else, or cannot be written.
    """
    out, text = note.parent, json.dumps(settings, indent=1) + "\n"
    try:
        if note.is_file():
            if note.read_text() != text:
                raise UserError(
                    f"{note}: the {kind} here have other settings; choose another folder or delete it"
                )
        elif out.is_dir() and any(not file.name.startswith(".") for file in out.iterdir()):
            raise UserError(f"{out}: holds something else; choose an empty or a new folder")
        else:
            out.mkdir(parents=True, exist_ok=True)
            write_text(note, text)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); choose another folder") from error


def each_room(make: Callable[..., Result], plans: Sequence[RoomPlan], *, workers: int) -> Iterator[Result]:
    """Make rooms in parallel; yields what ``make(plan)`` returns, a room at a time.

    ``make`` is called with ``threads=1`` where several processes work, and must be picklable.
    """
    try:
        yield from map(make, plans) if workers == 1 or len(plans) < 2 else _in_processes(make, plans, workers)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("rooms that are done are kept, run again to go on") from None


def _in_processes(make: Callable[..., Result], plans: Sequence[RoomPlan], workers: int) -> Iterator[Result]:
    # a forked process would inherit the threads of the ray caster and hang
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(plans)), mp_context=context, initializer=start_worker)
    try:
        for job in as_completed([pool.submit(make, plan, threads=1) for plan in plans]):
            yield job.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, probably for want of memory; rooms that are done are kept, run again with "
            f"fewer --workers than {workers}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
