"""Shared by the generators of rooms and frames: folders with recorded settings, and parallel generation."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track

from data_prep.parallel import process_pool
from pcseg.errors import UserError
from pcseg.files import write_text

Result = TypeVar("Result")


def open_folder(note: Path, settings: dict[str, Any], *, kind: str) -> None:
    """Record the settings of a new folder in ``note``, or check that its contents were made with the same settings.

    ``kind`` names the contents of the folder, in the plural.

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


def each_room(make: Callable[..., Result], plans: Sequence[Any], *, workers: int, doing: str) -> list[Result]:
    """Make rooms in parallel behind a progress bar; return the result of ``make(plan)`` for each.

    ``make`` is called with ``threads=1`` if there are several processes, and must be picklable.
    """
    made = _results(make, plans, workers)
    try:
        return list(track(made, doing, total=len(plans), console=Console(), auto_refresh=False))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished rooms are kept, run the command again to resume") from None


def _results(make: Callable[..., Result], plans: Sequence[Any], workers: int) -> Iterator[Result]:
    if workers == 1 or len(plans) < 2:
        yield from map(make, plans)
        return
    # a forked process would inherit the threads of the ray caster and hang
    with process_pool(workers, len(plans), kept="rooms", start="spawn") as pool:
        for job in as_completed([pool.submit(make, plan, threads=1) for plan in plans]):
            yield job.result()
