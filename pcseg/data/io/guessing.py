"""The meaning of columns without names, from their values; what values cannot decide is refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pcseg.data.io.columns import AXES
from pcseg.errors import UserError

_SAMPLE = 10_000
"""Number of rows that are looked at."""

_FEW_ROWS = 100
"""With fewer rows, small integers may be dark colors by chance."""

_MOST_UNKNOWN = 6
"""Number of columns besides position, normal and color; more of them are features or weights."""

_LARGEST_CLASS = 49
"""Columns of integers up to this number are taken for classes or objects, not for a color channel."""

_KNOWN_ORDERS = {
    (".pts", 4): (*AXES["pos"], "intensity"),
    (".pts", 6): (*AXES["pos"], *AXES["color"]),
    (".pts", 7): (*AXES["pos"], "intensity", *AXES["color"]),
    (".xyzrgb", 6): (*AXES["pos"], *AXES["color"]),
    (".xyzn", 6): (*AXES["pos"], *AXES["normal"]),
}
"""Columns that a format defines, by suffix and number of columns."""


def guess_names(columns: Sequence[np.ndarray], path: Path) -> tuple[list[str], str]:
    """Name columns without a header, x, y, z first, then colors and normals by their values; return a remark too.

    Raises:
        UserError: There are fewer than three columns, the first three do not look like coordinates, or several columns
            may hold the color.
    """
    width, suffix = len(columns), path.suffix.lower()
    if width < 3:
        raise UserError(f"{path}: has {width} column(s). Provide at least x, y and z.")
    step = max(1, len(columns[0]) // _SAMPLE)
    sample = [_finite(column[::step]) for column in columns]
    known = _KNOWN_ORDERS.get((suffix, width), ())
    colors = [values for name, values in zip(known, sample) if name in AXES["color"]]
    if known and all(map(len, sample)) and all(values.min() >= 0 for values in colors):
        return list(known), f"columns: {', '.join(known)}, the order of {suffix} files"
    words = [index for index in range(3) if columns[index].dtype.kind not in "fiu"]
    if words:
        raise _ambiguous(path, f"column {words[0] + 1} holds words, and the file has no header")
    names = [*AXES["pos"], *(f"column {index + 1}" for index in range(3, width))]
    free = list(range(3, width))
    if suffix == ".pts" and width > 7:
        names[3], free = "intensity", free[1:]
    for field in ("normal", "color"):
        start = _find_triple([column[::step] for column in columns], free, field, path)
        if start is not None:
            names[start : start + 3] = AXES[field]
            free = [index for index in free if not start <= index < start + 3]
    if len(free) > _MOST_UNKNOWN:
        raise _ambiguous(
            path, f"{len(free)} of {width} columns have neither names nor values that are recognized"
        )
    _check_positions(columns[0], sample, free, path)
    return names, f"columns: no header, read as {', '.join(names)}; --columns changes this"


def _finite(column: np.ndarray) -> np.ndarray:
    """Return the finite values of a column as float64, none of a column of words."""
    if column.dtype.kind not in "fiu":
        return np.zeros(0)
    return column[np.isfinite(column)].astype(np.float64)


def _find_triple(sample: list[np.ndarray], free: list[int], field: str, path: Path) -> int | None:
    """Return the first of three adjacent columns that hold a field."""
    starts = [index for index in free if {index + 1, index + 2} <= set(free)]
    triples = {
        start: np.stack(sample[start : start + 3], axis=1)
        for start in starts
        if all(column.dtype.kind in "fiu" for column in sample[start : start + 3])
    }
    if field == "normal":
        return next((start for start, triple in triples.items() if _is_normal(triple)), None)
    verdicts = {start: _is_color(triple) for start, triple in triples.items()}
    found = [start for start, verdict in verdicts.items() if verdict]
    if not found and None in verdicts.values():
        start = next(start for start, verdict in verdicts.items() if verdict is None)
        raise _ambiguous(path, f"columns {start + 1} to {start + 3} may be a color or other values")
    if len(found) > 1:
        raise _ambiguous(
            path, f"the color may begin in column {' or '.join(str(start + 1) for start in found)}"
        )
    return found[0] if found else None


def _is_normal(triple: np.ndarray) -> bool:
    """Return whether nearly all rows are unit vectors."""
    length = np.linalg.norm(triple.astype(np.float64), axis=1)
    return bool(np.mean(np.abs(length - 1) < 0.02) > 0.9) and bool((triple < 0).any())


def _is_color(triple: np.ndarray) -> bool | None:
    """Return whether three columns are a color, ``None`` if their values do not decide."""
    rows = triple[np.isfinite(triple).all(axis=1)].astype(np.float64)
    if not rows.any() or rows.min() < 0 or rows.max() > 255:
        return False
    whole = (rows == np.rint(rows)).all(axis=0)
    if whole.all():
        distinct = [len(np.unique(column)) for column in rows.T]
        classes = rows.max(axis=0) <= _LARGEST_CLASS
        if not classes.any() and min(distinct) * 8 >= max(distinct):
            return True
        return False if classes.all() and len(rows) >= _FEW_ROWS else None
    if rows.max() > 1:
        return False
    levels = rows * 255  # fractions of bytes, with at least three digits
    return (
        True if not whole.any() and len(rows) > 1 and np.abs(levels - np.rint(levels)).max() < 0.15 else None
    )


def _check_positions(first: np.ndarray, sample: list[np.ndarray], free: list[int], path: Path) -> None:
    """Refuse tables whose first columns are an index, a class, a row and column of a grid, or a color.

    Args:
        first: The first column.
        sample: Some finite values of every column.
        free: Columns that are neither positions nor normals nor colors.
        path: File to name in messages.
    """
    start = first[:1000]
    counts = len(start) > 2 and start[0] in (0, 1) and bool((np.diff(start) == 1).all())
    if counts and len(sample) > 3 and (len(start) >= _FEW_ROWS or not _is_whole(sample[3])):
        raise _ambiguous(path, "column 1 counts the lines, and the file has no header")
    integers = [index for index in range(3) if _is_whole(sample[index]) and np.ptp(sample[index]) > 0]
    decimals = [
        index
        for index in free
        if len(sample[index]) and not _is_whole(sample[index]) and np.abs(sample[index]).max() > 1
    ]
    if integers and decimals and (len(integers) < 3 or len(decimals) > 2):
        raise _ambiguous(
            path,
            f"column {integers[0] + 1} holds integers and column {decimals[0] + 1} decimals, without a header",
        )


def _is_whole(values: np.ndarray) -> bool:
    """Return whether there are values and all are integers."""
    return bool(len(values)) and bool((values == np.rint(values)).all())


def _ambiguous(path: Path, why: str) -> UserError:
    return UserError(
        f"{path}: {why}. Name every column with --columns (in a description: columns), such as x,y,z,-,red,green,blue; "
        "- ignores one."
    )
