"""Files with their predicted classes: the format, the rows and all content of a file, plus a class per point."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.errors import UserError
from pcseg.labels import LabelSchema

LABEL_FIELD = "predicted_class"

FIELDS = np.dtype([(LABEL_FIELD, "<i2"), ("confidence", "<f4")])
"""The columns that are added to a file."""


@dataclass(frozen=True, kw_only=True)
class PointLabels:
    """The predicted classes of the ``count`` points of a file.

    Args:
        rows: Returns classes ``(n,)`` int16 and confidences ``(n,)`` float32 of the points from a first one to
            before a last one; classes are -1 for points without a prediction.
    """

    count: int
    rows: Callable[[int, int], tuple[np.ndarray, np.ndarray]]
    schema: LabelSchema

    @property
    def legend(self) -> list[bytes]:
        """One ASCII line per class; many programs read no others."""
        lines = (f"predicted_class {number} {name}" for number, name in enumerate(self.schema.names))
        return [line.encode("ascii", "backslashreplace") for line in lines]

    def require(self, count: int, source: Path) -> None:
        """Raise :class:`UserError` unless a file has ``count`` points."""
        if count != self.count:
            raise UserError(
                f"{source}: had {self.count:,} points when it was read, now {count:,}. Predict it again."
            )

    def records(self, start: int, stop: int, order: str = "<") -> np.ndarray:
        """Return the added columns of some points as records ``(n,)`` in byte order ``<`` or ``>``."""
        records = np.empty(stop - start, FIELDS.newbyteorder(order))  # type: ignore[arg-type]
        records["predicted_class"], records["confidence"] = self.rows(start, stop)
        return records

    def append(self, rows: np.ndarray, start: int, order: str = "<") -> np.ndarray:
        """Return the bytes of points ``(n, size)`` with the added columns behind."""
        added = self.records(start, start + len(rows), order).view(np.uint8).reshape(len(rows), -1)
        return np.concatenate([rows, added], axis=1)


def free_names(taken: Iterable[str], names: Sequence[str] = FIELDS.names or ()) -> tuple[str, ...]:
    """Return names of the added columns that a file does not have yet, such as ``confidence_2``."""
    used = {name.lower() for name in taken}
    endings = ("", *(f"_{number}" for number in range(2, len(used) + 3)))
    ending = next(end for end in endings if not used & {f"{name}{end}" for name in names})
    return tuple(f"{name}{ending}" for name in names)
