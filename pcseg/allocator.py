"""How the C library hands out memory: what is freed is kept for what comes next."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's settings, from ``malloc.h``."""

MAPPED = 32 << 20
"""Bytes from which an array gets pages of its own that go back when it is freed; the most that glibc takes."""

KEPT = 1 << 30
"""Bytes at the end of the memory that may lie idle."""


def keep_freed_memory() -> None:
    """Let the process keep what it frees; without glibc nothing happens.

    A step on a CPU asks for the same arrays of some megabytes again and again, and every page of memory that is new
    to the process costs a fault: a fifth of a training step of a small image model.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, MAPPED)
    mallopt(M_TRIM_THRESHOLD, KEPT)
