"""Atomic file writing: a file appears under its name only when it is complete."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pcseg.errors import UserError, reason


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block succeeds.

    The file and its folder are flushed to disk before and after the rename, so that a crash of the machine
    leaves the old file or the new one. If the block fails, the temporary file is removed. The folder of
    ``path`` is created if it does not exist.

    Args:
        path: File to write. The block must write the yielded path and close it.

    Raises:
        UserError: The operating system refuses to write the file.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({reason(error)}). Free disk space or choose another folder."
        ) from error


def _flush(path: Path) -> None:
    """Flush a file or folder to disk."""
    if os.name == "nt":  # Windows opens neither folders nor read-only files for flushing
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write a binary file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file atomically; line endings are those of ``text``."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, content: object) -> None:
    """Write a JSON file atomically. NaN and infinity, which JSON does not have, raise :class:`ValueError`."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def make_folder(folder: Path) -> None:
    """Create an output folder. Call it before long work, so that a wrong path fails early.

    Raises:
        UserError: The folder cannot be created or is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be created ({error.strerror}). Choose another folder.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: not writable. Choose another folder.")
