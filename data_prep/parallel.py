"""Prepare many scenes in parallel: show progress, skip unchanged scenes, and keep the manifest up to date."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pcseg.data.manifest import Manifest, SceneEntry
from pcseg.data.scenes import read_scene
from pcseg.errors import UserError
from pcseg.files import output_folder

SECONDS_BETWEEN_MANIFESTS = 5.0
"""A killed run loses at most the record of this much work."""

NUM_PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Number of processors that this process may use."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One scene to prepare.

    Args:
        path, source: As in :class:`~pcseg.data.manifest.SceneEntry`; a scene of the same source is skipped.
        size: Size of the raw files in bytes, for the remaining time.
        work: Writes the scene and returns its entry; runs in another process, so it must be picklable.
    """

    path: str
    source: str
    size: int
    work: Callable[[], SceneEntry]


@dataclass(kw_only=True)
class Outcome:
    """The outcome of all jobs.

    Args:
        empty: Manifest without scenes: data set, release and schema.
        kept, dropped: Scenes in the folder that no job named; those dropped no longer belong to the data.
        skipped, prepared: Unchanged scenes, and those that this run prepared.
        failures: One line per failed scene.
    """

    empty: Manifest
    kept: list[SceneEntry] = field(default_factory=list)
    dropped: list[SceneEntry] = field(default_factory=list)
    skipped: list[SceneEntry] = field(default_factory=list)
    prepared: list[SceneEntry] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def manifest(self) -> Manifest:
        entries = [*self.kept, *self.skipped, *self.prepared]
        return replace(self.empty, scenes=tuple(sorted(entries, key=lambda entry: entry.path)))


def prepare_scenes(
    jobs: Sequence[Job],
    out: Path,
    *,
    empty: Manifest,
    workers: int,
    console: Console,
    stays: Callable[[SceneEntry], bool] = lambda entry: True,
) -> Outcome:
    """Run the jobs whose scenes are missing or outdated, and write the manifest of ``out``.

    Args:
        empty: Manifest without scenes: data set, release and schema.
        workers: Processes; each works on one scene at a time.
        stays: Whether a scene of ``out`` that no job names stays in the manifest; default: all. Files of removed
            scenes are not deleted.

    Raises:
        UserError: ``out`` holds another release, or a worker process died.

    Convention:
        A job that raises :class:`UserError` or :class:`OSError` fails alone and leaves no scene, not even the outdated
        one of an earlier run. Any other exception is a bug and ends the run.
    """
    with output_folder(out, wait=True):  # another run may be preparing other scenes of the folder
        outcome, todo = _sort_out(jobs, out, empty, stays)
        outcome.manifest.write(out)
        _prepare(todo, out, outcome, workers=workers, console=console)
    return outcome


def _prepare(todo: Sequence[Job], out: Path, outcome: Outcome, *, workers: int, console: Console) -> None:
    """Run jobs and record their scenes in ``outcome`` and, every few seconds and at the end, in the manifest."""
    written = time.monotonic()
    with _progress(console) as progress:
        task = progress.add_task("", total=sum(job.size for job in todo), done=0, jobs=len(todo))

        def finish(job: Job, result: SceneEntry | str) -> None:
            nonlocal written
            if isinstance(result, SceneEntry):
                outcome.prepared.append(result)
            else:
                (out / job.path).unlink(missing_ok=True)
                outcome.failures.append(result)
            done = len(outcome.prepared) + len(outcome.failures)
            progress.update(task, advance=job.size, done=done, refresh=True)
            if time.monotonic() - written > SECONDS_BETWEEN_MANIFESTS:
                outcome.manifest.write(out)
                written = time.monotonic()

        try:
            _run(todo, workers, finish)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("finished scenes are kept, run the command again to resume") from None
        finally:
            outcome.manifest.write(out)


def _sort_out(
    jobs: Sequence[Job], out: Path, empty: Manifest, stays: Callable[[SceneEntry], bool]
) -> tuple[Outcome, list[Job]]:
    """Return the outcome so far and the remaining jobs, the largest first so that processes end together."""
    known, todo, outcome = _known_entries(out, empty), [], Outcome(empty=empty)
    for job in jobs:
        entry = known.pop(job.path, None)
        is_current = entry is not None and entry.source == job.source and entry.mean_color is not None
        if entry and is_current and _is_readable(out / job.path):
            outcome.skipped.append(entry)
        else:
            todo.append(job)
    for entry in known.values():  # of scenes that no job names
        if (out / entry.path).is_file():
            (outcome.kept if stays(entry) else outcome.dropped).append(entry)
    return outcome, sorted(todo, key=lambda job: -job.size)


def _known_entries(out: Path, empty: Manifest) -> dict[str, SceneEntry]:
    try:
        old = Manifest.read(out)
    except UserError:  # missing, damaged or another version: prepare everything again
        return {}
    if (old.dataset, old.release, old.schema) != (empty.dataset, empty.release, empty.schema):
        raise UserError(
            f"{out}: holds {old.dataset} ({old.release}), not {empty.dataset} ({empty.release}). "
            "Choose another folder or delete it."
        )
    return {entry.path: entry for entry in old.scenes}


def _is_readable(path: Path) -> bool:
    try:
        read_scene(path, mapped=True)
    except UserError:
        return False
    return True


def _progress(console: Console) -> Progress:
    """Create a progress bar over bytes, without a thread because workers are forked from this process."""
    return Progress(
        BarColumn(),
        TextColumn("{task.fields[done]}/{task.fields[jobs]} scenes,"),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("remaining"),
        console=console,
        auto_refresh=False,
    )


def _run(jobs: Sequence[Job], workers: int, finish: Callable[[Job, SceneEntry | str], None]) -> None:
    """Call ``finish`` for each completed job with its entry, or with the reason of its failure."""
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            finish(job, _attempt(job.work))
        return
    with process_pool(workers, len(jobs), kept="scenes") as pool:
        futures = {pool.submit(_attempt, job.work): job for job in jobs}
        try:
            for future in as_completed(list(futures)):
                finish(futures.pop(future), future.result())
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)  # running scenes are finished and recorded
            for future, job in futures.items():
                if future.done() and not future.cancelled():
                    finish(job, future.result())
            raise


def _attempt(work: Callable[[], SceneEntry]) -> SceneEntry | str:
    try:
        return work()
    except (UserError, OSError) as error:
        return str(error)


@contextmanager
def process_pool(
    workers: int, jobs: int, *, kept: str, start: str | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of at most one process per job; ``kept`` names what remains if a process dies.

    Args:
        start: How processes start, such as ``spawn``; default: that of the system.
    """
    context = multiprocessing.get_context(start)
    pool = ProcessPoolExecutor(min(workers, jobs), mp_context=context, initializer=_start_worker)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise UserError(
            f"--workers {workers}: a worker process died, probably out of memory. Finished {kept} are kept. "
            "Run again with fewer workers."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Ignore Ctrl-C, so that the parent can let running scenes finish, and exit when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
