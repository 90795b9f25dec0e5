"""Prepare many scenes: in parallel, with a progress bar, skipping what is done, keeping a manifest."""

import fcntl
import glob
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from pcseg.data.manifest import MANIFEST_NAME, Manifest, SceneEntry
from pcseg.data.scenes import read_scene
from pcseg.errors import UserError

SECONDS_BETWEEN_MANIFESTS = 5.0
"""A run that is killed loses the record of this much work at most."""

NUM_PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Processors this process may use."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One scene to prepare.

    Args:
        path: Where the scene goes, relative to the prepared folder, with ``/``.
        source: Fingerprint of the raw files and options; the scene is skipped if the manifest has the same.
        size: Bytes of the raw files, for the time left.
        work: Writes the scene and returns its entry; runs in another process, so it must be picklable.
    """

    path: str
    source: str
    size: int
    work: Callable[[], SceneEntry]


@dataclass(kw_only=True)
class Outcome:
    """What became of the jobs.

    Args:
        empty: Manifest without scenes: data set, release and schema.
        kept: Entries of scenes in the folder that no job named.
        dropped: Entries of scenes that were in the folder and do not belong to it any more.
        skipped: Entries of scenes that were done already.
        prepared: Entries of scenes of this run.
        failures: One line for each scene that failed.
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


def every_scene(entry: SceneEntry) -> bool:
    """Scenes of earlier runs stay in the folder, whatever they are."""
    return True


def prepare_scenes(
    jobs: Sequence[Job],
    out: Path,
    *,
    empty: Manifest,
    workers: int,
    console: Console,
    stays: Callable[[SceneEntry], bool] = every_scene,
) -> Outcome:
    """Run the jobs that are not done yet and write the manifest of ``out``.

    Args:
        jobs: What to prepare.
        out: The prepared folder.
        empty: Manifest without scenes: data set, release and schema.
        workers: Processes; each works on one scene at a time.
        console: Where progress and failures are shown.
        stays: Which scenes of ``out`` that no job names stay in the manifest; the files of the others stay too,
            but belong to nothing.

    Raises:
        UserError: ``out`` holds another release, or a worker process died.

    Convention:
        A job that raises :class:`UserError` or :class:`OSError` fails alone and leaves no scene, not even the
        one of an earlier run, whose source has changed. Any other exception is a bug and ends the run.
    """
    outcome, todo = _sort_out(jobs, out, empty)

    def write() -> None:
        with _alone(out):  # another run may prepare other scenes of the folder, and have written meanwhile
            others = _other_entries(jobs, out, empty)
            outcome.kept = [entry for entry in others if stays(entry)]
            outcome.dropped += [entry for entry in others if not stays(entry)]  # not in the manifest again
            outcome.manifest.write(out)

    write()  # a folder that cannot be written is told before the work
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
                write()
                written = time.monotonic()

        try:
            _run(todo, workers, finish)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("scenes that are done are kept, run again to go on") from None
        finally:
            write()
    return outcome


def summarise(outcome: Outcome, out: Path, console: Console, *, kind: str) -> None:
    """Show classes, mended lines, left-out files, failures and counts; ``kind`` is what scenes are made of.

    Raises:
        UserError: At least one scene failed.
    """
    manifest = outcome.manifest
    table = Table("class", "points", "share")
    for name, count in zip(manifest.schema.names, manifest.class_histogram):
        table.add_row(name, f"{count:,}", f"{count / max(manifest.num_points, 1):.1%}")
    console.print(table)
    lines = []
    for entry in sorted([*outcome.skipped, *outcome.prepared], key=lambda entry: entry.path):
        for repair in entry.repairs:
            lines.append(f"mended: {repair.file} line {repair.line}: {repair.before!r} -> {repair.after!r}")
        lines += [f"left out: {file}" for file in entry.ignored]
    lines += [f"no longer part of the data: {out / entry.path}" for entry in outcome.dropped]
    lines += [f"failed: {failure}" for failure in sorted(outcome.failures)]
    lines += [
        f"{len(outcome.prepared)} prepared, {len(outcome.skipped)} unchanged, {len(outcome.failures)} failed",
        f"{out / MANIFEST_NAME}: {manifest.release}, {len(manifest.scenes)} scenes, "
        f"{manifest.num_points:,} points, hash {manifest.hash}",
    ]
    print_lines(lines, console)
    if outcome.failures:
        jobs = len(outcome.prepared) + len(outcome.skipped) + len(outcome.failures)
        raise UserError(f"{len(outcome.failures)} of {jobs} {kind} could not be prepared, see above")


def print_lines(lines: Sequence[str], console: Console) -> None:
    """Show lines as they are."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _sort_out(jobs: Sequence[Job], out: Path, empty: Manifest) -> tuple[Outcome, list[Job]]:
    """What is done already, and the jobs that are not, the largest first so that processes end together."""
    known, todo, outcome = _known_entries(out, empty), [], Outcome(empty=empty)
    for job in jobs:
        entry = known.get(job.path)
        is_current = entry is not None and entry.source == job.source and entry.mean_color is not None
        if entry and is_current and _is_readable(out / job.path):
            outcome.skipped.append(entry)
        else:
            todo.append(job)
            for left in glob.iglob(
                f".{glob.escape(Path(job.path).name)}.*.tmp", root_dir=(out / job.path).parent
            ):
                (out / job.path).with_name(left).unlink(missing_ok=True)  # of a run that was killed
    return outcome, sorted(todo, key=lambda job: -job.size)


def _other_entries(jobs: Sequence[Job], out: Path, empty: Manifest) -> list[SceneEntry]:
    """Scenes that the folder holds now and no job names."""
    named = {job.path for job in jobs}
    known = _known_entries(out, empty).values()
    return [entry for entry in known if entry.path not in named and (out / entry.path).is_file()]


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Let no other preparation into this block at the same time, where the file system can."""
    try:
        folder = os.open(out, os.O_RDONLY)
    except OSError:  # not made yet, or told when the manifest is written
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _known_entries(out: Path, empty: Manifest) -> dict[str, SceneEntry]:
    try:
        old = Manifest.read(out)
    except UserError:  # none, damaged or of another version: everything is prepared again
        return {}
    if (old.dataset, old.release, old.schema) != (empty.dataset, empty.release, empty.schema):
        raise UserError(
            f"{out} holds {old.dataset} ({old.release}), not {empty.dataset} ({empty.release}); "
            "choose another folder or delete it"
        )
    return {entry.path: entry for entry in old.scenes}


def _is_readable(path: Path) -> bool:
    try:
        read_scene(path)
    except UserError:
        return False
    return True


def _progress(console: Console) -> Progress:
    """A bar over the bytes of the raw files, without a thread: worker processes are forked from this one."""
    return Progress(
        BarColumn(),
        TextColumn("{task.fields[done]}/{task.fields[jobs]} scenes,"),
        TimeElapsedColumn(),
        TextColumn("gone, left"),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
    )


def _run(jobs: Sequence[Job], workers: int, finish: Callable[[Job, SceneEntry | str], None]) -> None:
    """Call ``finish`` with each job and its entry, or the line that says why it failed, as they complete."""
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            finish(job, _attempt(job.work))
        return
    pool = ProcessPoolExecutor(min(workers, len(jobs)), initializer=start_worker)
    try:
        futures = {pool.submit(_attempt, job.work): job for job in jobs}
        for future in as_completed(futures):
            finish(futures[future], future.result())
    except BrokenProcessPool as error:
        raise UserError(
            f"a worker process died, probably for want of memory; scenes that are done are kept, "
            f"run again with fewer --workers than {workers}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(work: Callable[[], SceneEntry]) -> SceneEntry | str:
    try:
        return work()
    except (UserError, OSError) as error:
        return str(error)


def start_worker() -> None:
    """Leave Ctrl-C to the parent, which lets running scenes finish; end when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
