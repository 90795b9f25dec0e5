"""Text with predicted classes: two more fields at the end of every line with a point."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pcseg.data.io.labels import PointLabels, free_names
from pcseg.data.io.lines import (
    BLANKS,
    COMMENT,
    SEPARATORS,
    decode_line,
    first_rows,
    has_decimal_comma,
    split_fields,
)
from pcseg.data.io.pcd import header_words
from pcseg.data.io.ply import parse_header
from pcseg.data.io.text import (
    Preamble,
    are_units,
    choose_separator,
    decode_text,
    find_header,
    next_line,
    read_preamble,
)
from pcseg.errors import UserError

_COMMENTS = tuple(mark.encode() for mark in COMMENT)
_NO_VALUE = b" \t\r\n\x1a\0"


@dataclass(frozen=True, kw_only=True)
class PointLines:
    """The text of a file: all lines with their ends behind ``head``, and the index of the line of every point.

    Fields are separated by ``separator``; ``comma`` states that the decimal sign is a comma.
    """

    head: bytes
    lines: list[bytes]
    points: list[int]
    separator: bytes = b" "
    comma: bool = False


def point_lines(source: Path, count: int) -> PointLines | None:
    """Return the lines of a text, PLY or PCD file, or ``None`` if not every point has a line of its own."""
    data, suffix = source.read_bytes(), source.suffix.lower()
    skipped, preamble = 0, None
    if suffix == ".ply":
        header = parse_header(data, source)
        names = [element.name for element in header.elements]
        start = header.start
        skipped = sum(element.count for element in header.elements[: names.index("vertex")])
    elif suffix == ".pcd":
        start = header_words(data, source)[1]
    else:
        data = decode_text(data, source)
        preamble = read_preamble(data, source)
        start = preamble.start
    lines = data[start:].splitlines(keepends=True)
    counts = preamble is not None and preamble.count is not None
    filled = [i for i, line in enumerate(lines) if _is_point(line, counts)]
    points = filled[skipped : skipped + count]
    if len(points) < count or (suffix != ".ply" and len(filled) > count):
        return None
    if preamble is None:
        return PointLines(head=data[:start], lines=lines, points=points)
    separator = choose_separator(next_line(data[start:]), preamble.heads)
    comma = has_decimal_comma(separator, first_rows(data[start:], separator)[1])
    tabs = b"\t" in lines[points[0]] and separator == BLANKS
    mark = b"\t" if tabs else b" " if separator == BLANKS else separator.encode()
    head = _with_names(data[:start], preamble, next_line(data[start:]), separator, source)
    return PointLines(head=head, lines=lines, points=points, separator=mark, comma=comma)


def write_text(source: Path, target: Path, labels: PointLabels) -> None:
    """Write a text file with two more fields per line, and their names in its header; UTF-16 becomes UTF-8."""
    with target.open("wb") as out:
        write_lines(out, source, labels, head=True)


def write_lines(out: BinaryIO, source: Path, labels: PointLabels, *, head: bool = False) -> None:
    """Write the lines of a file with class and confidence behind the fields of every point."""
    text = point_lines(source, labels.count)
    if text is None:
        raise UserError(f"{source}: changed while it was predicted. Predict it again.")
    out.write(text.head if head else b"")
    rows = labels.records(0, labels.count).tolist()
    for index, (label, confidence) in zip(text.points, rows):
        line = text.lines[index]
        body = line.rstrip(b"\r\n")
        value = f"{confidence:.4f}".replace(".", "," if text.comma else ".").encode()
        end = line[len(body) :] or b"\n"
        text.lines[index] = b"%b%b%d%b%b%b" % (body, text.separator, label, text.separator, value, end)
    out.writelines(text.lines)


def _is_point(line: bytes, counts: bool) -> bool:
    content = line.strip(_NO_VALUE)
    return bool(content) and not content.startswith(_COMMENTS) and not (counts and content.isdigit())


def _with_names(head: bytes, preamble: Preamble, first: str, separator: str, source: Path) -> bytes:
    """Return the lines before the points with two more names in the header, and two more fields below it."""
    lines, width = head.splitlines(keepends=True), len(split_fields(first, separator))
    named = False
    for index in reversed(range(len(lines))):
        text = decode_line(lines[index])
        mark, names = _header_of(text, width, separator, source)
        if preamble.numbered and not named and text and not text.startswith(COMMENT):
            mark, added = separator, (str(width), str(width + 1))
        elif names and not named:
            added = ("",) * (width - len(names)) + free_names(names)
        elif (
            mark and len(split_fields(text, separator)) == width and are_units(split_fields(text, separator))
        ):
            added = ("-", "-")
        else:
            continue
        named = named or added[0] != "-"
        body = lines[index].rstrip(b"\r\n")
        fields = "".join(f"{' ' if mark == BLANKS else mark}{name}" for name in added)
        lines[index] = body + fields.encode() + lines[index][len(body) :]
    return b"".join(lines)


def _header_of(text: str, width: int, separator: str, source: Path) -> tuple[str, list[str]]:
    """Return the separator and the names of a line that is a header, or the separator of the data and no names."""
    for trailing in range(3) if text else ():
        try:
            names = find_header([(1, text)], width, trailing, separator, source)
        except UserError:
            continue
        if names:
            plain = re.sub(r"^[#/%!\s]+(?:[\w ]+:(?=\s))?", "", text)
            marks = (
                mark for mark in (separator, *SEPARATORS) if split_fields(plain, mark)[: len(names)] == names
            )
            return next(marks, separator), names
    return separator, []
