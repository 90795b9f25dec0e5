"""Memory that is freed stays with the process: asking for it again costs no page faults."""

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from pcseg.allocator import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(3):
    arrays = [np.ones(8 << 20, np.uint8) for _ in range(8)]
    del arrays
before = faults()
arrays = [np.ones(8 << 20, np.uint8) for _ in range(8)]
print(faults() - before)
"""


def faults(how: str) -> int:
    """Page faults of 64 MB that are asked for again."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_what_is_freed_is_kept() -> None:
    kept, returned = faults("keep"), faults("return")
    assert kept < 200
    assert returned > 10 * max(kept, 1), "without the setting, memory comes from the kernel each time"
