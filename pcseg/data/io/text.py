"""Text files with one point per line."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pcseg.data.io.columns import PointTable, guess_names
from pcseg.errors import UserError


def read_text(path: Path) -> PointTable:
    """Return the columns of a text file, named by its header line or, without one, by their values.

    Fields are separated by blanks, tabs, commas or semicolons. A first line with the number of points, as
    in ``.pts`` files, is skipped.

    Raises:
        UserError: Not a text file, no points, or a line that does not match the others.
    """
    data = path.read_bytes()
    if b"\0" in data[:4096]:
        raise UserError(f"{path}: not a text file. Choose a file with one point per line.")
    names: list[str] = []
    start, line_number = 0, 1
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end + 1
        line = data[start:end].decode("utf-8", errors="replace").strip()
        fields = _split_line(line)
        if fields and all(map(_is_number, fields)) and not _is_count(fields, data[end : end + 4096]):
            break
        if fields and not _is_number(fields[0]):
            names = fields
        start, line_number = end, line_number + 1
    else:
        raise UserError(f"{path}: holds no points. Choose another file.")
    values = parse_numbers(data[start:], path=path, first_line=line_number)
    named = [name.strip('"').lower() for name in names]
    if len(named) != values.shape[1] or not {"x", "y", "z"} <= set(named):
        named = guess_names(values, path)
    return PointTable(columns=dict(zip(named, values.T)))


def parse_numbers(data: bytes, *, path: Path, first_line: int) -> np.ndarray:
    """Parse lines of numbers into ``(N, C)`` float64.

    Args:
        data: The lines.
        path: File to name in messages.
        first_line: Line number of the first line of ``data`` in the file.

    Raises:
        UserError: A line has another number of fields than the first one, or a field that is not a number.
    """
    import pandas as pd

    first = re.search(rb"\S.*", data)
    separator = next((mark for mark in (",", ";") if first and mark.encode() in first[0]), r"\s+")
    try:
        values = pd.read_csv(
            io.BytesIO(data), sep=separator, header=None, dtype=np.float64, skipinitialspace=True
        ).to_numpy()
    except (ValueError, OverflowError):
        values = None
    # pandas fills short lines with NaN, so the number of NaN must equal the number written in the file
    if values is None or np.isnan(values).sum() != data.lower().count(b"nan"):
        bad = _find_bad_line(data)
        if bad is not None:
            raise UserError(f"{path}, line {first_line + bad[0]}: {bad[1]}. Fix or delete the line.")
    if values is None:
        raise UserError(
            f"{path}: the numbers cannot be parsed. Write decimal points, and use one separator throughout."
        )
    return values


def _split_line(line: str) -> list[str]:
    """Split a line into fields, without leading comment marks."""
    return [field for field in re.split(r"[\s,;]+", line.lstrip("#/ ")) if field]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_count(fields: Sequence[str], following: bytes) -> bool:
    """Return whether a line holds the number of points, as in ``.pts`` files, and not a point."""
    after = following.split(b"\n", 1)[0].decode("utf-8", errors="replace")
    return len(fields) == 1 and fields[0].isdigit() and len(_split_line(after)) >= 3


def _find_bad_line(data: bytes) -> tuple[int, str] | None:
    """Return the index of the first line that does not match the first one, and the reason."""
    width = 0
    for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines()):
        fields = _split_line(line) if not line.startswith(("#", "/")) else [line]
        if not fields:
            continue
        width = width or len(fields)
        word = next((field for field in fields if not _is_number(field)), None)
        if word is not None:
            return number, f"{word[:40]!r} is not a number"
        if len(fields) != width:
            return number, f"has {len(fields)} values, earlier lines have {width}"
    return None
