"""Interleaved timing of two alternatives, with the peak memory of each in a separate process."""

import ctypes
import gc
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch


@dataclass(kw_only=True)
class Row:
    """One line of a benchmark.

    Args:
        case: What was measured.
        ours_s: Median seconds of interleaved runs.
        other: Name of the alternative.
        other_s: Its median seconds.
        speedup: ``other_s / ours_s``.
        ours_peak_mb: Peak memory above that of the start, in MB.
        other_peak_mb: That of the alternative.
        points: Points that one run processes, where a rate is more informative than a ratio.
    """

    case: str
    ours_s: float
    other: str = ""
    other_s: float | None = None
    speedup: float | None = None
    ours_peak_mb: float | None = None
    other_peak_mb: float | None = None
    points: int | None = None
    points_per_s: float | None = field(init=False)

    def __post_init__(self) -> None:
        self.points_per_s = None if self.points is None else self.points / self.ours_s


def measure(
    case: str,
    ours: Callable[[], object],
    other_name: str = "",
    other: Callable[[], object] | None = None,
    *,
    rounds: int = 5,
    memory: bool = True,
    points: int | None = None,
) -> Row:
    """Time ``ours`` and ``other`` in turn, ``rounds`` times after one warm-up.

    Convention:
        ``speedup`` is the median of ``other`` divided by the median of ``ours``. Peak memory is the growth of
        the resident set of a forked process that runs the callable once: inputs made before do not count.
    """
    functions = [ours] if other is None else [ours, other]
    peaks = [peak_mb(function) if memory else None for function in functions]
    medians = interleaved_medians(functions, rounds=rounds)
    row = Row(case=case, ours_s=medians[0], other=other_name, ours_peak_mb=peaks[0], points=points)
    if other is not None:
        row.other_s, row.other_peak_mb, row.speedup = medians[1], peaks[1], medians[1] / medians[0]
    return row


def interleaved_medians(functions: Sequence[Callable[[], object]], *, rounds: int) -> list[float]:
    """Return the median seconds of every function: timed in turn, so that a load on the machine affects all."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(rounds):
        for function, seconds in zip(functions, times):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in times]


def _run_and_report(function: Callable[[], object], pipe) -> None:
    torch.set_num_threads(1)  # OpenMP threads do not survive a fork
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    function()
    pipe.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def peak_mb(function: Callable[[], object]) -> float | None:
    """Return the growth of the peak resident set in MB while ``function`` runs once, or ``None`` if it crashes.

    Convention:
        ``function`` runs on one thread in a forked process, which starts without the peak of its parent on Linux,
        and must not use CUDA. Memory that the parent has freed and kept is returned first, or ``function`` would
        fill it unnoticed.
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
