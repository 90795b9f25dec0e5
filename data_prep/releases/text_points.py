"""Fast, strict reader of ``x y z r g b`` text that repairs the damaged bytes of S3DIS."""

import csv
import io
import re
from pathlib import Path

import numpy as np

from pcseg.data.manifest import Repair
from pcseg.errors import UserError

COLUMNS = 6

_NUMBER = rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LINE = re.compile(rb"[ \t]*" + rb"[ \t]+".join([_NUMBER] * COLUMNS) + rb"[ \t]*\n?")
_LARGEST = float(np.finfo(np.float32).max)
_REMEDY = "Download or fix the file."


def read_points(
    path: Path, *, name: str | None = None, dtype: type[np.floating] = np.float32
) -> tuple[np.ndarray, list[Repair]]:
    """Read a text file of six numbers per line as ``(N, 6)``, and return the repaired lines too.

    Args:
        path: The file; blank lines, tabs, CRLF and exponents are allowed.
        name: Name of the file in messages and repairs; default: the path.
        dtype: float32, or float64 for computations before rounding.

    Raises:
        UserError: An empty file, or a line that is not six finite numbers.

    Convention:
        Values equal ``numpy.loadtxt(path).astype(dtype)``. In S3DIS every damaged byte is a character whose
        bit 0x20 was cleared (NUL was a space, 0x10 a 0). Setting that bit restores the text without guessing.
        Tab, CR and LF are not changed; a CR inside a line may be a damaged minus sign and is rejected.
    """
    name = name or str(path)
    data, repairs = path.read_bytes(), []
    points = _parse_plain(data, dtype)
    if points is None:
        data, repairs = _repair(data.replace(b"\r\n", b"\n"), name)
        points = _parse_plain(data, dtype)
    if points is None:
        _check_lines(data, name)
        points = np.loadtxt(io.BytesIO(data), dtype=np.float64, comments=None, ndmin=2).astype(dtype)
    return points, repairs


def _is_plain(data: bytes) -> bool:
    """Return whether the bytes are line feeds, spaces, digits, signs and points only (or ``!"#$%&'()*,/``)."""
    values = np.frombuffer(data, np.uint8)
    lines = np.count_nonzero(values == ord("\n"))
    return np.count_nonzero(values < ord(" ")) == lines and not (values > ord("9")).any()


def _repair(data: bytes, name: str) -> tuple[bytes, list[Repair]]:
    """Set bit 0x20 of control bytes other than tab, CR and LF; return the changed lines, which must then be valid."""
    values = np.frombuffer(data, np.uint8).copy()
    damaged = np.flatnonzero((values < 32) & ~np.isin(values, np.frombuffer(b"\t\n\r", np.uint8)))
    values[damaged] |= 0x20
    repaired = values.tobytes()
    ends = np.append(np.flatnonzero(values == ord("\n")), len(values)).tolist()
    repairs = []
    for row in np.unique(np.searchsorted(ends, damaged)).tolist():
        line = slice(ends[row - 1] + 1 if row else 0, ends[row])
        if not _is_sound(repaired[line]):
            raise UserError(
                f"{name} line {row + 1} is damaged beyond repair: {_text(data[line])!r}. {_REMEDY}"
            )
        repairs.append(Repair(file=name, line=row + 1, before=_text(data[line]), after=_text(repaired[line])))
    return repaired, repairs


def _parse_plain(data: bytes, dtype: type[np.floating]) -> np.ndarray | None:
    """Parse regular files with the C reader of pandas; return ``None`` for anything unusual.

    The reader fills short lines with NaN, drops blank lines, ends lines at a lone CR and parses ``True`` as 1.
    The checks of bytes, shape and finite values together exclude these cases.
    """
    import pandas as pd

    if not _is_plain(data):
        return None
    try:
        with np.errstate(over="ignore"):
            frame = pd.read_csv(
                io.BytesIO(data), sep=" ", header=None, dtype=dtype, engine="c", quoting=csv.QUOTE_NONE
            )
    except ValueError:  # the errors of pandas derive from it
        return None
    points = frame.to_numpy()
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    return points if points.shape == (lines, COLUMNS) and np.isfinite(points).all() else None


def _check_lines(data: bytes, name: str) -> None:
    """Raise :class:`UserError` for the first line that is neither blank nor six finite numbers."""
    for number, line in enumerate(io.BytesIO(data), start=1):
        if not _is_sound(line) and line.strip(b" \t\n"):
            raise UserError(
                f"{name} line {number} is not {COLUMNS} finite numbers: {_text(line)!r}. {_REMEDY}"
            )
    if not data.strip():
        raise UserError(f"{name} is empty. {_REMEDY}")


def _is_sound(line: bytes) -> bool:
    return bool(_LINE.fullmatch(line)) and all(abs(float(word)) < _LARGEST for word in line.split())


def _text(line: bytes) -> str:
    """Return the start of a line as text, for messages."""
    return line[:80].removesuffix(b"\n").decode("latin-1")
