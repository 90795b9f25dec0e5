"""LAZ files: the records of compressed LAS files, unpacked in a process of their own.

Decoders of LAZ end the process, or take all memory, on some damaged files, which must not end a preparation.
This file is also what that process runs; it needs laspy and nothing of this package.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

PART = 1_000_000
"""Points that are unpacked at a time."""

MEMORY = 1 << 30
"""Bytes that the process may take beyond what it begins with."""


def unpack(path: Path) -> bytes:
    """The records of all points of a LAZ file, one behind the other.

    Raises:
        UserError: The package that unpacks is not there, or the file is damaged.
    """
    from pcseg.errors import UserError, reason

    if find_spec("laspy") is None or find_spec("lazrs") is None:
        raise UserError(
            f'{path}: compressed (LAZ), which needs laspy: pip install "pcseg[scans]"; or unpack it to .las'
        )
    # -P: the files beside this one are no modules of the process
    child = subprocess.run([sys.executable, "-P", __file__, path], capture_output=True, check=False)
    if child.returncode:
        said = child.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1] if child.returncode == 1 and said else "its decoder stopped"
        raise UserError(f"{path}: cannot be unpacked ({reason(ValueError(why))}); the file is damaged")
    return child.stdout


def write_records(path: Path) -> None:
    """Write the records to the standard output, part by part."""
    import resource

    import laspy  # pyright: ignore[reportMissingImports]

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # laspy's overloads lack read_evlrs
    opened = laspy.open(path, laz_backend=laspy.LazBackend.Lazrs, read_evlrs=False)  # pyright: ignore[reportCallIssue]
    with opened as file:
        for part in file.chunk_iterator(PART):
            sys.stdout.buffer.write(part.array.tobytes())


if __name__ == "__main__":
    try:
        write_records(Path(sys.argv[1]))
    except BaseException as error:  # a decoder's own are no Exception
        sys.exit(" ".join(str(error).split()) or type(error).__name__)
