"""One row of the corpus: a small file, and what is true about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from numpy.typing import ArrayLike


@dataclass(frozen=True, kw_only=True)
class Row:
    """A file and its true values, or the text of its refusal.

    Args:
        id: Name of the case.
        file: File name; its suffix selects the reader.
        content: The bytes, or a function that writes the file with an independent library.
        refusal: Text that the error message contains; ``None`` for files that are read.
        pos: Positions (N, 3).
        color: Colors (N, 3) in 0..255; ``None``: the cloud must have none.
        normal: Normals (N, 3); ``None``: the cloud must have none.
        columns: Further columns by name; strings and NaN are compared too.
        absent: Names of columns that must not exist.
        remarks: Texts that the remarks must contain.
        unit: Unit that the file states.
        viewpoint: Position of the sensor (3,) that the file states.
        names: Option ``columns`` of the reader.
        atol: Tolerance of positions.
    """

    id: str
    file: str
    content: bytes | Callable[[Path], object]
    refusal: str | None = None
    pos: ArrayLike | None = None
    color: ArrayLike | None = None
    normal: ArrayLike | None = None
    columns: Mapping[str, ArrayLike] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    unit: str | None = None
    viewpoint: ArrayLike | None = None
    names: tuple[str, ...] = ()
    atol: float = 1e-9

    def write(self, folder: Path) -> Path:
        """Write the file into ``folder`` and return its path."""
        path = folder / self.file
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)
        return path
