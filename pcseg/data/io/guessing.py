"""The meaning of columns without names, from their values; what values cannot decide is refused."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from pcseg.data.io.columns import AXES
from pcseg.data.normals import fit_planes, make_tree
from pcseg.errors import UserError

_SAMPLE = 10_000
"""Number of rows that are looked at."""

_FEW_ROWS = 100
"""With fewer rows, small integers may be dark colors by chance."""

_FEW_STEPS = 20
"""With fewer steps, coordinates may rise or stay by chance."""

_MANY_ROWS = 1000
"""Number of rows from which on surfaces are recognized."""

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
    _check_positions(columns, sample, free, path)
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
    return True if _is_fraction(rows) else None


def _is_fraction(rows: np.ndarray) -> bool:
    """Return whether three columns are fractions of bytes, with at least three digits."""
    levels = rows * 255
    decimal = len(rows) > 1 and not (rows == np.rint(rows)).all(axis=0).any()
    return (
        decimal and 0 <= rows.min() <= rows.max() <= 1 and bool(np.abs(levels - np.rint(levels)).max() < 0.15)
    )


def _check_positions(
    columns: Sequence[np.ndarray], sample: list[np.ndarray], free: list[int], path: Path
) -> None:
    """Refuse tables whose first columns are an index, a time, a class, a row and column of a grid, a color or another
    value, and whose coordinates may follow.

    ``sample`` holds some finite values of every column; ``free`` are neither positions nor normals nor colors.
    """
    integers = [index for index in range(3) if _is_whole(sample[index]) and np.ptp(sample[index]) > 0]
    decimals = [index for index in free if _is_decimal(sample[index])]
    flat = np.abs(np.concatenate(sample[:3])).max(initial=0) <= 1  # then so may be a coordinate
    if decimals or (flat and not all(_is_whole(sample[index]) for index in free)):
        twin = next(
            (k for k in (1, 2) for other in range(k) if np.array_equal(columns[k], columns[other])), None
        )
        if twin is not None:
            raise _ambiguous(path, f"column {twin + 1} repeats another one, and the file has no header")
        series = [index for index in range(3) if _is_series(columns[index])]
    else:
        series = [0] if free and len(columns[0]) >= _FEW_ROWS and _steps_alike(columns[0]) else []
    if series and not _is_grid(columns[:3]):
        what = "counts or rises like a time" if np.ptp(sample[series[0]]) else "is constant"
        raise _ambiguous(path, f"column {series[0] + 1} {what}, and the file has no header")
    if integers and decimals and (len(integers) < 3 or len(decimals) > 2):
        raise _ambiguous(
            path,
            f"column {integers[0] + 1} holds integers and column {decimals[0] + 1} decimals, without a header",
        )
    first = np.stack([column[:_SAMPLE] for column in columns[:3]], axis=1)
    if len(decimals) > 2 and (_is_normal(first) or _is_fraction(first)):
        raise _ambiguous(path, "columns 1 to 3 may be normals or colors, and the file has no header")
    strange = _find_strange(columns, decimals)
    if strange is not None:
        why = f"the points lie on surfaces without column {strange + 1}, and the file has no header"
        raise _ambiguous(path, why)


def _is_decimal(values: np.ndarray) -> bool:
    """Return whether values have fractions and are larger than those of colors, normals and probabilities."""
    return bool(len(values)) and not _is_whole(values) and bool(np.abs(values).max() > 1)


def _is_series(column: np.ndarray) -> bool:
    """Return whether values are constant, rise or fall throughout, or step alike, as times and indices do."""
    some = _finite(column[:: max(1, len(column) // _SAMPLE)])
    steps = np.diff(some)
    throughout = len(steps) >= _FEW_STEPS and bool((steps >= 0).all() or (steps <= 0).all())
    alike = throughout or _steps_alike(column)
    if alike or len(some) < _FEW_ROWS:
        return alike
    some = np.sort(some)  # in a shuffled table
    even = np.abs(some - np.linspace(some[0], some[-1], len(some))).max() < 0.05 * (some[-1] - some[0])
    return bool(even) and _are_alike(np.diff(np.sort(column)))


def _steps_alike(column: np.ndarray) -> bool:
    """Return whether nearly all changes from row to row are the same up to rounding."""
    steps = np.diff(_finite(column[:1000]))
    return _are_alike(steps[steps != 0])


def _are_alike(steps: np.ndarray) -> bool:
    middle = np.median(steps) if len(steps) > 1 else 0.0
    return bool(middle) and bool(np.mean(np.abs(steps - middle) < abs(middle) / 20) > 0.9)


def _is_grid(columns: Sequence[np.ndarray]) -> bool:
    """Return whether one coordinate steps alike while another one stays, as in rasters of heights."""
    stays = [np.mean(np.diff(column[:1000]) == 0) > 0.5 and np.ptp(column) > 0 for column in columns]
    return any(stays) and any(_steps_alike(column) for column, stay in zip(columns, stays) if not stay)


def _find_strange(columns: Sequence[np.ndarray], decimals: list[int]) -> int | None:
    """Return one of the first three columns with which points never lie on surfaces, though they do with others."""
    others = [index for index in decimals if not _is_series(columns[index])][:3]
    if not others or len(columns[0]) < _MANY_ROWS:
        return None
    step = max(1, len(columns[0]) // (_SAMPLE // 2))
    flat = {
        triple: _flatness(np.stack([columns[k][::step] for k in triple], axis=1))
        for triple in combinations((0, 1, 2, *others), 3)
    }
    for index in range(3):
        with_it, without = (max(flat[t] for t in flat if (index in t) == inside) for inside in (True, False))
        if without > with_it + 0.2:
            return index
    return None


def _flatness(pos: np.ndarray) -> float:
    """Return the share of points ``(N, 3)`` whose neighbors lie in a plane, whatever the scale of each axis."""
    pos = pos[np.isfinite(pos).all(axis=1)]
    if len(pos) < _FEW_ROWS:
        return 0.0
    pos = (pos - pos.mean(axis=0)) / np.maximum(pos.std(axis=0), 1e-12)
    _, scatter = fit_planes(make_tree(pos), pos[:: max(1, len(pos) // 1000)])
    return float(np.mean(scatter[:, 0] < 0.05 * scatter[:, 1]))


def _is_whole(values: np.ndarray) -> bool:
    """Return whether there are values and all are integers."""
    return bool(len(values)) and bool((values == np.rint(values)).all())


def _ambiguous(path: Path, why: str) -> UserError:
    return UserError(
        f"{path}: {why}. Name every column with --columns (in a description: columns), such as x,y,z,-,red,green,blue; "
        "- ignores one."
    )
