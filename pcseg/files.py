"""Atomic file writing, where a file appears under its name only when it is complete, and reading of lists and YAML."""

import codecs
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

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


def read_yaml(path: Path) -> Any:
    """Read a YAML file with every value and key as the text that is written: ``no``, ``010`` and dates stay strings.

    Raises:
        UserError: Not YAML, or a key occurs twice.

    Convention:
        Empty values, ``~`` and ``null`` are ``None`` unless they are quoted.
    """
    try:
        with path.open("rb") as stream:
            return yaml.load(stream, _TextLoader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not YAML ({reason(error)}). Fix the syntax.") from error


class _TextLoader(yaml.BaseLoader):
    def construct_scalar(self, node: Any) -> Any:
        is_null = node.style is None and node.value in ("", "~", "null", "Null", "NULL")
        return None if is_null else super().construct_scalar(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                mark = node.value[position][0].start_mark
                raise UserError(f"{mark.name} line {mark.line + 1}: {key} is given twice. Keep one.")
        return super().construct_mapping(node, deep=deep)
