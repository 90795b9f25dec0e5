"""Output folders with one writer, files that appear only when they are complete, and reading of lists."""

import codecs
import json
import logging
import os
import platform
import re
import secrets
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pcseg.errors import UserError, reason

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

logger = logging.getLogger("pcseg")


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it when the block succeeds, see :func:`atomic_paths`."""
    with atomic_paths(path) as (temporary,):
        yield temporary


@contextmanager
def atomic_paths(*paths: Path | str) -> Iterator[tuple[Path, ...]]:
    """Yield a temporary path beside each of ``paths``; rename all of them when the block succeeds.

    Files and folders are flushed to disk before and after the renames, so that a crash of the machine leaves the
    old file or the new one. The block must write the yielded paths and close them. If it fails, the temporary files
    are removed; :func:`make_folder` removes those of a killed process. The folders of ``paths`` are created if they do
    not exist.

    Raises:
        UserError: The operating system refuses to write a file.
    """
    targets = tuple(map(Path, paths))
    if _temporaries.issuperset(targets):  # inside of another call, which names the file and renames it
        yield targets
        return
    temporaries = tuple(_temporary(path) for path in targets)
    _temporaries.update(temporaries)
    try:
        for path in targets:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporaries
            for temporary in temporaries:
                _flush(temporary)
            for temporary, path in zip(temporaries, targets):
                os.replace(temporary, path)
            for folder in {path.parent for path in targets}:
                _flush(folder)
        finally:
            for temporary in temporaries:
                temporary.unlink(missing_ok=True)
            _temporaries.difference_update(temporaries)
    except OSError as error:
        raise UserError(
            f"{targets[0]}: cannot be written ({reason(error)}). Free disk space or choose another folder."
        ) from error


_temporaries: set[Path] = set()
_HOST = f"{zlib.crc32(platform.node().encode()):08x}"


def _temporary(path: Path) -> Path:
    """Return a name beside ``path`` that no other process and no other thread uses."""
    return path.with_name(f".{path.name[:40]}.{_HOST}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files in a folder and its subfolders whose process on this machine no longer runs."""
    for path in (*folder.glob(f".*.{_HOST}.*.tmp"), *folder.glob(f"*/.*.{_HOST}.*.tmp")):
        process = path.name.split(".")[-3]
        if process.isdecimal() and not _is_running(int(process)):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name == "nt":  # os.kill would end it
        return True
    with suppress(OSError, OverflowError):
        os.kill(process, 0)
        return True
    return False


def _flush(path: Path) -> None:
    """Flush a file or folder to disk."""
    if os.name == "nt":  # Windows opens neither folders nor read-only files for flushing
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file atomically; line endings are those of ``text``."""
    write_texts({Path(path): text})


def write_texts(texts: dict[Path, str]) -> None:
    """Write UTF-8 text files that belong together: all of them or none."""
    with atomic_paths(*texts) as temporaries:
        for temporary, text in zip(temporaries, texts.values()):
            temporary.write_bytes(text.encode())


def write_json(path: Path | str, content: object) -> None:
    """Write a JSON file atomically. NaN and infinity, which JSON does not have, raise :class:`ValueError`."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def make_folder(folder: Path) -> None:
    """Create an output folder, before long work, and remove temporary files of killed processes.

    Raises:
        UserError: The folder cannot be created or is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be created ({error.strerror}). Choose another folder.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: not writable. Choose another folder.")


@contextmanager
def output_folder(folder: Path, *, part: str = "", wait: bool = False) -> Iterator[None]:
    """Create an output folder and keep other processes from writing into it until the block ends.

    A folder that this call creates is removed again if the block fails and leaves it empty.

    Args:
        part: Name of the part of the folder that is written, such as the stem of a file; default: all of it.
        wait: Wait for the other process instead of raising an error.

    Raises:
        UserError: Another process writes into the folder, or as :func:`make_folder`.

    Convention:
        The operating system releases a lock when its process ends, however it ends, and forked processes do not
        inherit it. File systems without locks are not protected. Libraries such as ``filelock`` lock by ``flock``,
        which the loading processes of a killed training would keep.
    """
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder)
    path = folder / (f".{part[:40]}.lock" if part else ".lock")
    handle = None
    try:
        handle = _lock(folder, path, wait=wait)
        yield
    finally:
        if handle is not None:
            path.unlink(missing_ok=True)  # before it is released
            os.close(handle)
            _locked.discard((os.getpid(), path.resolve()))
        with suppress(OSError):  # not empty
            for made in created:
                made.rmdir()


_locked: set[tuple[int, Path]] = set()
"""Lock files by process: the operating system lets a process lock a file twice."""


def _lock(folder: Path, path: Path, *, wait: bool) -> int | None:
    """Return the handle of a locked file, ``None`` on systems and file systems without locks."""
    if fcntl is None:
        return None
    while True:
        if (os.getpid(), path.resolve()) in _locked:
            raise UserError(f"{folder}: this process already writes into it. Choose another folder.")
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({reason(error)}). Choose another folder.") from error
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            owner = os.pread(handle, 200, 0).decode(errors="replace") or "another process"
            if not wait:
                os.close(handle)
                raise UserError(
                    f"{folder}: {owner} writes into it. Wait until it ends or choose another folder."
                ) from error
            logger.warning("%s: %s writes into it. Waiting until it ends.", folder, owner)
            fcntl.lockf(handle, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            os.close(handle)
            path.unlink(missing_ok=True)
            return None
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            words = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
            with suppress(OSError):  # a full disk
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"process {os.getpid()} ({words[:100]})".encode(), 0)
            _locked.add((os.getpid(), path.resolve()))
            return handle
        os.close(handle)  # its owner has ended and removed the file


_ENCODINGS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16, whose mark is its beginning
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Encoding that each byte order mark announces."""


def find_encoding(data: bytes) -> tuple[str, int]:
    """Return the encoding of a text and the length of its byte order mark; an empty string for binary data.

    *Convention*: without a mark, UTF-16 is recognized by the zeros in its ASCII characters; anything else without
    zeros is UTF-8.
    """
    mark = next((mark for mark in _ENCODINGS if data.startswith(mark)), b"")
    head = data[:4096]
    if mark or b"\0" not in head:
        return _ENCODINGS.get(mark, "utf-8"), len(mark)
    odd, even = head[1::2].count(0), head[::2].count(0)
    return "utf-16-le" if odd > 0.4 * len(head) else "utf-16-be" if even > 0.4 * len(head) else "", 0


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file in UTF-8, UTF-16 or Latin-1, stripped, without blank ones and ``#`` comments."""
    data = path.read_bytes()
    encoding, start = find_encoding(data)
    if not encoding:  # UTF-16 of few ASCII characters
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    try:
        text = data[start:].decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    return [line for line in lines if line and not line.startswith("#")]
