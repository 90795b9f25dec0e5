"""The vertices of a binary PLY file as records at a known offset, for reading and writing in parts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.data.io.ply import parse_header

LONGEST_HEADER = 1 << 24
"""Largest number of bytes of a header."""


@dataclass(frozen=True, kw_only=True)
class BinaryRows:
    """The vertices of a binary file: ``count`` records of type ``kind`` from offset ``start`` on."""

    start: int
    kind: np.dtype
    count: int


def binary_vertices(path: Path) -> BinaryRows | None:
    """Return where the vertices of a PLY file lie; ``None`` for text, and for lists in or before them.

    Raises:
        UserError: As :func:`parse_header`.
    """
    with path.open("rb") as stream:
        header = parse_header(stream.read(LONGEST_HEADER), path)
    start = header.start
    for element in header.elements:
        if element.has_lists or not header.order:
            break
        kind = np.dtype([(name, header.order + kind) for name, kind, _ in element.properties])
        if element.name == "vertex":
            return BinaryRows(start=start, kind=kind, count=element.count)
        start += kind.itemsize * element.count
    return None
