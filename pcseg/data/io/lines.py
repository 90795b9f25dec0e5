"""Lines of text as columns: their separator, their numbers and words, and the line that does not match the others."""

import csv
import io
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pcseg.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

BLANKS = r"\s+"
SEPARATORS = (";", "\t", ",", "|", BLANKS)

COMMENT = ("#", "//", "%", "!")
"""Starts of lines that are not data."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?|-?1\.#inf\d*", re.IGNORECASE)
_MISSING = re.compile(r"|[+-]?nan(\(\w*\))?|-?1\.#(qnan|snan|ind)\d*|#?n/?a|<na>|null|none", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_LINE = re.compile(rb"[^\r\n]*\S[^\r\n]*")
_EXACT = 8192
"""Largest coordinate in meters that float32 stores to half a millimeter."""

_DECIDING_LINES = 100
"""Number of lines that decide which columns hold words, and whether commas are decimal signs."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How lines are read: separator, whether the decimal sign is a comma, number of columns, those that hold words."""

    separator: str
    comma: bool
    width: int
    words: frozenset[int]


def is_value(field: str, separator: str = ",") -> bool:
    """Return whether a field is a number, or a missing one: empty, ``nan``, ``1.#QNAN``, ``null``, …

    *Convention*: a comma may be the decimal sign if it does not separate fields.
    """
    return bool(_NUMBER.fullmatch(field) or _MISSING.fullmatch(field) or _is_decimal_comma(field, separator))


def decode_line(line: bytes) -> str:
    """Return the start of a line as text, from UTF-8 or else Latin-1."""
    line = line[:100_000].strip(b" \r\n\x1a")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def split_fields(line: str, separator: str) -> list[str]:
    """Split a line into fields without blanks and quotes around them."""
    if separator == BLANKS:
        line, separator = line.replace("\t", " ").strip(), " "
    rows = csv.reader([line.replace("\r", " ")], delimiter=separator, skipinitialspace=True)
    return [field.strip() for field in next(rows, [])]


def find_separator(line: str) -> str:
    """Return the separator that gives the most numbers; beside other separators a comma may be a decimal sign."""

    def count_values(separator: str) -> int:
        return sum(is_value(field, separator) for field in split_fields(line, separator) if field)

    return max(SEPARATORS, key=count_values)  # the first of equals


def parse_numbers(data: bytes, *, path: Path, first_line: int) -> np.ndarray:
    """Parse lines of numbers into ``(N, C)`` float64; messages name the file, whose line ``first_line`` is the first.

    Raises:
        UserError: A line has another number of fields than the first one, or a field that is not a number.
    """
    separator, rows = first_rows(data, None)
    comma = has_decimal_comma(separator, rows)
    layout = Layout(separator=separator, comma=comma, width=len(rows[0]), words=frozenset())
    return _parse(data, layout, path=path, first_line=first_line, counts=False).to_numpy()


def narrow(values: np.ndarray, kind: str | np.dtype) -> np.ndarray:
    """Return numbers in the type that a header states, unless it cannot hold them: -1 or NaN in a byte."""
    with np.errstate(all="ignore"):
        narrowed = values.astype(kind)
    if narrowed.dtype.kind == "f":
        low, high = np.fmin.reduce(values, axis=None, initial=0), np.fmax.reduce(values, axis=None, initial=0)
        return narrowed if max(-low, high) < _EXACT else values
    return narrowed if (narrowed == values).all() else values


def parse_columns(
    data: bytes, *, separator: str, path: Path, first_line: int, counts: bool
) -> list[np.ndarray]:
    """Parse lines into columns of float64, or of strings; arguments and errors as in :func:`parse_numbers`.

    With ``counts``, lines with a single integer are skipped: scans of ``.pts`` files begin with their number of points.

    Convention:
        A column whose first field is a word holds words; missing ones are empty strings.
    """
    _, rows = first_rows(data, separator)
    comma = has_decimal_comma(separator, rows)
    words = frozenset(index for index in range(len(rows[0])) if _holds_words(rows, index))
    layout = Layout(separator=separator, comma=comma, width=len(rows[0]), words=words)
    frame = _parse(data, layout, path=path, first_line=first_line, counts=counts)
    if not words:
        return list(frame.to_numpy().T)
    return [
        frame[index].fillna("").to_numpy(dtype=str) if index in words else frame[index].to_numpy()
        for index in frame
    ]


def first_rows(data: bytes, separator: str | None) -> tuple[str, list[list[str]]]:
    """Return the separator, found in the first line unless it is given, and the fields of the first lines."""
    lines = [decode_line(match[0]) for match in islice(_LINE.finditer(data), _DECIDING_LINES)]
    lines = [line for line in lines if not line.startswith(COMMENT)] or [""]
    separator = separator or find_separator(lines[0])
    return separator, [split_fields(line, separator) for line in lines]


def _is_decimal_comma(field: str, separator: str) -> bool:
    return separator != "," and _DECIMAL_COMMA.fullmatch(field) is not None


def has_decimal_comma(separator: str, rows: list[list[str]]) -> bool:
    """Return whether commas are decimal signs and not perhaps separators of thousands, as in 1,234."""
    commas = [field for row in rows for field in row if _is_decimal_comma(field, separator)]
    return any(not _THOUSANDS.fullmatch(field) for field in commas)


def _holds_words(rows: list[list[str]], index: int) -> bool:
    """Return whether the first field of a column that is not missing contains letters and is not a number."""
    fields = (row[index] for row in rows if index < len(row))
    first = next((field for field in fields if not _MISSING.fullmatch(field)), "0")
    return not _NUMBER.fullmatch(first) and any(map(str.isalpha, first))


def _parse(data: bytes, layout: Layout, *, path: Path, first_line: int, counts: bool) -> "DataFrame":
    frame = _read(data, layout)
    if frame is None or not _is_complete(frame, data, layout):
        data = _clean(data, counts=counts)
        frame = _read(data, layout)
        if frame is None or not _is_complete(frame, data, layout):
            bad = _find_bad_line(data, layout)
            if bad is not None:
                raise UserError(f"{path}, line {first_line + bad[0]}: {bad[1]}. Fix or delete the line.")
    if frame is None:
        raise UserError(
            f"{path}: the numbers cannot be parsed. Write decimal points, no separators of thousands, and one "
            "separator throughout."
        )
    return frame


def _read(data: bytes, layout: Layout) -> "DataFrame | None":
    """Read lines with pandas, which is the fastest reader of text; ``None`` if a field is not a number."""
    import pandas as pd

    kinds = {index: str if index in layout.words else np.float64 for index in range(layout.width)}
    try:
        return pd.read_csv(
            io.BytesIO(data),
            sep=layout.separator,
            header=None,
            dtype=kinds if layout.words else np.float64,  # type: ignore[arg-type]
            decimal="," if layout.comma else ".",
            skipinitialspace=True,
        )
    except (ValueError, OverflowError):
        return None


def _is_complete(frame: "DataFrame", data: bytes, layout: Layout) -> bool:
    """Return whether no line is shorter than the first one; pandas fills such lines with NaN."""
    rows, width = frame.shape
    if layout.separator != BLANKS:
        return data.count(layout.separator.encode()) == rows * (width - 1)
    missing = int(frame.isna().sum().sum()) if layout.words else int(np.isnan(frame.to_numpy()).sum())
    return missing in (0, data.lower().count(b"nan")) or len(data.split()) == rows * width


def _clean(data: bytes, *, counts: bool) -> bytes:
    """Blank out comments, lines of blanks and counts, and write NaN and infinity as pandas reads them."""
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\x1a\0 \n")
    data = re.sub(rb"(?m)^[ \t]*(?:#(?!n/?a)|//|%|!).*$", b"", data)
    data = re.sub(rb"(?m)^[ \t]*\d*[ \t]*$" if counts else rb"(?m)^[ \t]+$", b"", data)
    data = re.sub(rb"(?i)-?1\.#(?:qnan|snan|ind)\d*|[+-]?nan\(\w*\)", b"nan", data)
    return re.sub(rb"(?i)1\.#inf\d*", b"inf", data)


def _find_bad_line(data: bytes, layout: Layout) -> tuple[int, str] | None:
    """Return the index of the first line that does not match the first one, and the reason."""
    width = 0
    for number, line in enumerate(data.split(b"\n")):
        fields = split_fields(decode_line(line), layout.separator)
        if not any(fields):
            continue
        width = width or len(fields)
        for index, field in enumerate(fields):
            if index not in layout.words and not is_value(field, layout.separator if layout.comma else ","):
                return number, f"{field[:40]!r} is not a number"
        if len(fields) != width:
            return number, f"has {len(fields)} values, earlier lines have {width}"
    return None
