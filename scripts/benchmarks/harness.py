"""Interleaved timing of two ways to do one thing, with the peak memory of each in a process of its own."""

import ctypes
import gc
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch


@dataclass(kw_only=True)
class Row:
    """One line of a benchmark: seconds are medians of interleaved runs, megabytes peaks above the start.

    ``points`` is how many points ``ours`` goes through, where a rate says more than a ratio.
    """

    case: str
    ours_s: float
    other: str
    other_s: float | None
    speedup: float | None
    ours_peak_mb: float | None
    other_peak_mb: float | None
    points: int | None = None

    @property
    def points_per_s(self) -> float | None:
        return None if self.points is None else self.points / self.ours_s

    def as_dict(self) -> dict[str, object]:
        return asdict(self) | {"points_per_s": self.points_per_s}


def measure(
    case: str,
    ours: Callable[[], object],
    other_name: str,
    other: Callable[[], object] | None,
    *,
    rounds: int = 5,
    memory: bool = True,
    points: int | None = None,
) -> Row:
    """Time ``ours`` against ``other`` in turn, ``rounds`` times after one warm-up.

    Convention:
        ``speedup`` is the median of ``other`` divided by the median of ``ours``. Peak memory is the growth of
        the resident set of a forked process that runs the callable once: inputs made before do not count.
    """
    functions = [ours] if other is None else [ours, other]
    times: list[list[float]] = [[] for _ in functions]
    peaks = [peak_mb(function) if memory else None for function in functions]
    for function in functions:
        function()
    for _ in range(rounds):
        for function, seconds in zip(functions, times):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    medians = [statistics.median(seconds) for seconds in times]
    return Row(
        case=case,
        ours_s=medians[0],
        other=other_name,
        other_s=medians[1] if other is not None else None,
        speedup=medians[1] / medians[0] if other is not None else None,
        ours_peak_mb=peaks[0],
        other_peak_mb=peaks[1] if other is not None else None,
        points=points,
    )


def _run_and_report(function: Callable[[], object], pipe) -> None:
    torch.set_num_threads(1)  # OpenMP threads do not survive a fork
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    function()
    pipe.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def peak_mb(function: Callable[[], object]) -> float | None:
    """Growth of the peak resident set in MB while ``function`` runs once; ``None`` if it cannot be measured.

    Convention:
        A forked process inherits nothing of the parent's peak on Linux, but torch's OpenMP threads do not
        survive a fork: ``function`` runs on one thread there, and must not need CUDA. Memory that the parent
        has freed and kept is given back first, or ``function`` would fill it unseen.
    """
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run_and_report, args=(function, sender))
    process.start()
    sender.close()
    try:
        return float(receiver.recv())
    except EOFError:
        return None
    finally:
        process.join()


def gpu_row(case: str, call: Callable[[], object], *, points: int) -> Row:
    """Seconds and peak memory of ``call`` on the GPU, whose name the case gets; there is nothing to compare with."""
    for _ in range(2):
        call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    start, rounds = time.perf_counter(), 5
    for _ in range(rounds):
        call()
    torch.cuda.synchronize()
    return Row(
        case=f"{case} on {torch.cuda.get_device_name()}, {points:,} points",
        ours_s=(time.perf_counter() - start) / rounds,
        other="",
        other_s=None,
        speedup=None,
        ours_peak_mb=torch.cuda.max_memory_allocated() / 2**20,
        other_peak_mb=None,
        points=points,
    )
