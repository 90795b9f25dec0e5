"""Text files with one point per line."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pcseg.data.io.columns import (
    UNITS,
    PointTable,
    apply_names,
    has_positions,
    normalize_name,
    require_distinct,
    unit_of,
)
from pcseg.data.io.guessing import guess_names
from pcseg.data.io.lines import (
    BLANKS,
    COMMENT,
    SEPARATORS,
    decode_line,
    find_separator,
    is_value,
    parse_columns,
    split_fields,
)
from pcseg.errors import UserError
from pcseg.files import find_encoding

_LONGEST_PREAMBLE = 1000
"""Number of lines before the data after which a file is taken for another kind of text."""

_EMPTY_FIELDS = re.compile(r"[\s,;|]+")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r|$)")


@dataclass(kw_only=True)
class Preamble:
    """The lines before the first line of data, which is at offset ``start`` and has the number ``line``.

    Args:
        heads: Number and text of the lines that may be a header.
        count: Number of points that a line of its own announces, as in ``.pts`` files.
        numbered: The header numbers the columns from 0, as pandas does for arrays.
    """

    start: int = 0
    line: int = 1
    heads: list[tuple[int, str]] = field(default_factory=list)
    count: int | None = None
    numbered: bool = False


def read_text(path: Path, names: Sequence[str] = ()) -> PointTable:
    """Return the columns of a text file, named by its header or, without one, by their values.

    Fields are separated by blanks, tabs, commas, semicolons or vertical bars. Lines that start with ``#``, ``//``,
    ``%`` or ``!`` are comments. Every other line from the first with numbers on is a point. ``names`` are those of all
    columns, which replace those of the file.

    Raises:
        UserError: Not a text file, no points, a header that does not fit the columns, columns whose meaning is
            ambiguous, or a line that does not match the others.
    """
    data = decode_text(path.read_bytes(), path)
    preamble = read_preamble(data, path)
    body = data[preamble.start :] if preamble.start else data
    del data
    line = next_line(body)
    separator = choose_separator(line, preamble.heads)
    columns = parse_columns(
        body, separator=separator, path=path, first_line=preamble.line, counts=preamble.count is not None
    )
    remarks = _check_counts(body, preamble.count, len(columns[0]), path)
    trailing = _count_trailing(split_fields(line, separator), columns)
    filled = columns[: len(columns) - trailing]
    if names:
        used = columns if len(names) == len(columns) else filled
        return PointTable(columns=apply_names(used, names, path), remarks=remarks)
    heads = [] if preamble.numbered else preamble.heads
    header = find_header(heads, len(columns), trailing, separator, path)
    if header is None:
        guessed, remark = guess_names(filled, path)
        return PointTable(columns=dict(zip(guessed, filled)), remarks=(*remarks, remark))
    if not any(header[len(filled) :]):
        header = header[: len(filled)]
    given = [normalize_name(name) or f"column {index + 1}" for index, name in enumerate(header)]
    require_distinct(given, str(path))
    units = {unit_of(name) for name in header} - {None} or _find_units(heads, len(columns), separator)
    if len(units) > 1:
        raise UserError(
            f"{path}: the units {', '.join(sorted(map(str, units)))} differ. Use one unit for all coordinates."
        )
    return PointTable(columns=dict(zip(given, columns)), unit=next(iter(units), None), remarks=remarks)


def decode_text(data: bytes, path: Path) -> bytes:
    """Return text without a byte order mark, and UTF-16 and UTF-32 as UTF-8."""
    encoding, start = find_encoding(data)
    if encoding == "utf-8":
        return data[start:] if start else data
    try:
        return data[start:].decode(encoding).encode()
    except (UnicodeError, LookupError) as error:
        raise UserError(f"{path}: not a text file. Choose a file with one point per line.") from error


def read_preamble(data: bytes, path: Path) -> Preamble:
    """Read the lines before the first line of data."""
    preamble = Preamble()
    for match in _LINE.finditer(data):
        line = decode_line(match[0])
        if not line:
            pass
        elif line.startswith(COMMENT):
            preamble.heads.append((preamble.line, line))
        else:
            following = next_line(data[match.end() : match.end() + 10_000])
            if (
                re.fullmatch(r"\d+", line)
                and max(len(split_fields(following, mark)) for mark in SEPARATORS) > 2
            ):
                preamble.count = int(line)
            elif _numbers_columns(line, following):
                preamble.numbered = True
            elif _is_data(line, preamble.heads):
                preamble.start = match.start()
                return preamble
            else:
                preamble.heads.append((preamble.line, line))
        preamble.line += 1
        if match.end() == len(data) or len(preamble.heads) > _LONGEST_PREAMBLE:
            break
    first = f": no line holds three numbers (the first is {next_line(data)[:60]!r})" if data.strip() else ""
    raise UserError(f"{path}: holds no points{first}. Choose another file, or write numbers as 1.5.")


def next_line(data: bytes) -> str:
    """Return the first line with text that is neither a comment nor a row of empty fields, or else such a row."""
    empty = ""
    for match in _LINE.finditer(data):
        line = decode_line(match[0])
        if line and not line.startswith(COMMENT):
            if not _EMPTY_FIELDS.fullmatch(line):
                return line
            empty = empty or line
    return empty


def _is_data(line: str, heads: list[tuple[int, str]]) -> bool:
    """Return whether a line is a point: it has the fields of the header, or values only, or three numbers."""
    separator = find_separator(line)
    fields = split_fields(line, separator)
    if has_positions([normalize_name(name) for name in fields]):
        return False
    for mark, width in _header_widths(heads).items():
        named = split_fields(line, mark)
        if len(named) == width:
            return not are_units(named)
    values = [field for field in fields if is_value(field, separator)]
    numbers = [field for field in values if field]
    return len(values) == len(fields) or len(numbers) > 2 or _EMPTY_FIELDS.fullmatch(line) is not None


def _header_widths(heads: list[tuple[int, str]]) -> dict[str, int]:
    """Return the number of names in a header with coordinates, by each separator that finds them."""
    widths = {}
    for mark in SEPARATORS:
        for _, text in heads:
            names = split_fields(text.lstrip("#/%! "), mark)
            if has_positions([normalize_name(name) for name in names]):
                widths[mark] = len(names)
    return widths


def _numbers_columns(line: str, following: str) -> bool:
    """Return whether a line numbers the columns 0, 1, 2, … and the next one holds decimals."""
    separator = find_separator(following)
    fields, values = split_fields(line, separator), split_fields(following, separator)
    if len(fields) != len(values) or separator == BLANKS:
        return False
    index = fields[0] == ""
    numbered = fields[index:] == [str(number) for number in range(len(fields) - index)]
    return (
        numbered
        and len(fields) > 2
        and all("." in value or "e" in value for value in values[index : index + 3])
    )


def choose_separator(line: str, heads: list[tuple[int, str]]) -> str:
    """Return the separator that splits the data as a header with coordinates, else the one that gives most numbers."""
    for mark, width in _header_widths(heads).items():
        if len(split_fields(line, mark)) == width:
            return mark
    separator = find_separator(line)
    tabs_in_a_row = separator == "\t" and "" in split_fields(line, "\t")[:-1]
    return BLANKS if tabs_in_a_row else separator


def _count_trailing(fields: list[str], columns: list[np.ndarray]) -> int:
    """Return the number of columns that separators at the end of every line add."""
    count = 0
    while len(columns) - count > 3 and fields[-1 - count] == "":
        column = columns[-1 - count]
        if column.dtype.kind != "f" or not np.isnan(column).all():
            break
        count += 1
    return count


def _check_counts(body: bytes, count: int | None, points: int, path: Path) -> tuple[str, ...]:
    """Compare the announced numbers of points, one per scan, with the points read."""
    if count is None or count == points:
        return ()
    counts = [count, *map(int, re.findall(rb"(?m)^[ \t]*(\d+)[ \t]*\r?$", body))]
    if sum(counts) != points:
        raise UserError(
            f"{path}: announces {sum(counts):,} points but holds {points:,}. Export it again, or delete the line with "
            "the number."
        )
    return (f"points: {len(counts)} scans of {', '.join(f'{number:,}' for number in counts)} points",)


def find_header(
    heads: list[tuple[int, str]], width: int, trailing: int, separator: str, path: Path
) -> list[str] | None:
    """Return the names in the header, or ``None`` if there is no header.

    Raises:
        UserError: A header does not fit the number of columns.
    """
    fitting = []
    for _, text in reversed(heads):
        plain = re.sub(r"^[#/%!\s]+(?:[\w ]+:(?=\s))?", "", text) if text.startswith(COMMENT) else text
        for mark in (separator, *SEPARATORS):
            names = split_fields(plain, mark)
            if len(names) == width + 1 and not names[-1]:
                names.pop()
            if len(names) in (width, width - trailing):
                if has_positions([normalize_name(name) for name in names]):
                    return names
                if mark == separator and not text.startswith(COMMENT):
                    fitting.append(names)
    words = [(line, text) for line, text in heads if not text.startswith(COMMENT)] or [
        (line, text) for line, text in heads if {"x", "y", "z"} <= set(re.findall(r"[a-z]+", text.lower()))
    ]
    if not words:
        return None
    if fitting:
        return fitting[0]
    line, text = words[-1]
    names = split_fields(text.lstrip("#/%! "), separator)
    raise UserError(
        f"{path}, line {line}: {len(names)} names ({text[:60]}) for {width - trailing} columns. Correct the line, or "
        "pass --columns with the name of every column."
    )


def _find_units(heads: list[tuple[int, str]], width: int, separator: str) -> set[str | None]:
    """Return the units in a line of units below the header."""
    rows = [split_fields(text, separator) for _, text in heads]
    return {_unit(field) for row in rows if len(row) == width and are_units(row) for field in row[:3]}


def are_units(fields: list[str]) -> bool:
    return all(_unit(field) for field in fields[:3])


def _unit(field: str) -> str | None:
    return UNITS.get(field.strip("[]()").lower())
