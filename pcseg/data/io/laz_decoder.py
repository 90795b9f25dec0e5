"""Decompress a LAZ file in a separate process, which writes the point records to standard output.

lazrs can abort its process or exhaust memory: of 1,500 damaged files, 60 aborted the process and 58 kept it busy for
more than 20 s. In a separate process with limited memory, it cannot stop the preparation of other files. The process
runs this file as a script, which starts fast because it imports nothing from pcseg.
"""

import sys

MEMORY = 2 << 30
"""Bytes of address space that the process may use, where the system has such a limit (not on Windows)."""


def write_records(path: str, part: int, every: int, fields: str) -> None:
    """Write the records of the first ``part`` of each ``every`` points of a LAZ file to standard output.

    With ``position`` as ``fields``, everything but positions and colors may be 0, which takes two thirds of the time.
    """
    import laspy

    # the parallel one decompresses whole chunks, of which a part may be only the beginning
    backend = laspy.LazBackend.Lazrs if every > part else laspy.LazBackend.LazrsParallel
    kinds = laspy.DecompressionSelection
    chosen = kinds.XY_RETURNS_CHANNEL | kinds.Z | kinds.RGB if fields == "position" else kinds.all()
    with laspy.open(  # pyright: ignore[reportCallIssue]
        path, laz_backend=backend, read_evlrs=False, decompression_selection=chosen
    ) as file:
        for start in range(0, file.header.point_count, every):
            if every > part:
                file.seek(start)
            sys.stdout.buffer.write(file.read_points(part).array.tobytes())


def limit_memory() -> None:
    """Limit the memory of this process, so that a damaged size raises :class:`MemoryError`."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    limit_memory()
    try:
        write_records(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    except BaseException as error:  # panics of Rust derive from BaseException
        sys.exit(" ".join(str(error).split()) or type(error).__name__)
