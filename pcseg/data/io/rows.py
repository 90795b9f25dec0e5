"""Records at a known offset, such as the vertices of a binary PLY file, for reading and writing in parts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.data.io.ply import parse_header
from pcseg.errors import UserError

LONGEST_HEADER = 1 << 24
"""Largest number of bytes of a header."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """``count`` records of type ``kind`` in a file from offset ``start`` on."""

    path: Path
    start: int
    kind: np.dtype
    count: int

    def parts(self, part: int, every: int) -> Iterator[np.ndarray]:
        """Yield the first ``part`` of each ``every`` records.

        Raises:
            UserError: The file is too short.
        """
        with self.path.open("rb") as stream:
            for first in range(0, self.count, every):
                stream.seek(self.start + first * self.kind.itemsize)
                size = min(part, self.count - first)
                data = stream.read(size * self.kind.itemsize)
                if len(data) < size * self.kind.itemsize:
                    held = first + len(data) // self.kind.itemsize
                    raise UserError(
                        f"{self.path}: announces {self.count} points but holds {held}. The file is damaged. "
                        "Export it again."
                    )
                yield np.frombuffer(data, self.kind)


def binary_vertices(path: Path) -> Rows | None:
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
            return Rows(path=path, start=start, kind=kind, count=element.count)
        start += kind.itemsize * element.count
    return None
