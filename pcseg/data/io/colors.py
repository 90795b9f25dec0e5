"""Colors of a point table as bytes, whatever their type and scale."""

from pathlib import Path

import numpy as np

from pcseg.data.io.columns import Columns, stack_field
from pcseg.errors import UserError

MISSING = 127
"""Value of all channels of points without a color in files with colors."""

_SAMPLE = 100_000
"""Number of points that decide the scale."""


def stack_color(
    columns: Columns, path: Path, *, like: Columns | None = None
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return colors ``(N, 3)`` uint8 from three columns or one packed column, or ``None``, and remarks on their scale.

    ``like`` are columns that decide the scale, by default those given.

    Raises:
        UserError: The values are not colors.
    """
    color = stack_field(columns, "color")
    if color is not None:
        return to_bytes(color, path, like=None if like is None else stack_field(like, "color"))
    packed = next((columns[name] for name in ("rgb", "rgba") if name in columns), None)
    if packed is None or packed.dtype.kind not in "fiu":
        return None, ()
    return unpack_color(packed)


def to_bytes(
    color: np.ndarray, path: Path, *, like: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert colors to uint8 from bytes, 16-bit integers, fractions 0..1 or -1..1; return them and remarks.

    The colors ``like``, by default those given, decide the scale.

    Raises:
        UserError: Many values are beyond all of these scales.

    Convention:
        The type and most values decide, not the largest value: single values beyond the scale are clipped. Missing
        colors (NaN) become gray, :data:`MISSING`.
    """
    if color.dtype in (np.uint8, np.int8):  # int8: some programs write bytes as "char"
        return color.view(np.uint8), ()
    like = color if like is None else like
    scale, offset, name = find_scale(like[:: max(1, len(like) // _SAMPLE)], path)
    with np.errstate(over="ignore"):
        values = color.astype(np.float32)
    values *= scale
    if offset:
        values += offset
    missing = 0
    if np.isnan(values.min(initial=0)):
        missing = int(np.count_nonzero(np.isnan(values).any(axis=1)))
        values[np.isnan(values)] = MISSING
    remarks = (f"colors: read as {name}", *missing_remark(missing))
    return np.clip(np.rint(values, out=values), 0, 255, out=values).astype(np.uint8), remarks


def missing_remark(count: int) -> tuple[str, ...]:
    """Return a remark on points without a color, none for 0."""
    return (f"colors: {count:,} points have no color and become gray",) if count else ()


def find_scale(color: np.ndarray, path: Path) -> tuple[float, float, str]:
    """Return the factor and the offset that give bytes, and the name of the scale.

    Raises:
        UserError: As :func:`to_bytes`.
    """
    values = color[np.isfinite(color)].astype(np.float64)
    values = values[values != 0]  # black and missing points do not count

    def share(mask: np.ndarray) -> float:
        return float(np.mean(mask)) if len(mask) else 0.0

    above = share(np.abs(values) > 1.1)
    negative = share(values < -0.02)
    if above <= 0.05 and negative > 0.01 and negative * len(values) > 1:
        return 127.5, 127.5, f"fractions -1..1 ({_span(values)})"
    if negative > 0.1:
        raise _not_colors(values, path)
    if above <= 0.05 or share((values > 0) & (values < 1)) > above:
        return 255, 0, f"fractions 0..1 ({_span(values)})"
    if share(values > 280) <= 0.05:
        return 1, 0, f"0..255 ({_span(values)})"
    if share(values > 66_000) <= 0.05:
        return 255 / 65535, 0, f"16-bit integers ({_span(values)})"
    raise _not_colors(values, path)


def _span(values: np.ndarray) -> str:
    return f"{values.min():g} to {values.max():g}" if len(values) else "all zero"


def _not_colors(values: np.ndarray, path: Path) -> UserError:
    return UserError(
        f"{path}: red, green and blue hold {_span(values)}, which is not a scale of colors. "
        "Convert them to 0..255 or 0..1, or leave them out with --columns."
    )


def unpack_color(packed: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Unpack colors 0x00RRGGBB, which PCD files often store in the bits of a float32; return remarks, too.

    *Convention*: floats that are integers above 1 are numbers 0x00RRGGBB, as text files hold them. The NaN that
    programs write is a missing color; others are colors with a fourth byte.
    """
    if packed.dtype.kind != "f":
        bits, lost = packed.astype(np.uint32), np.zeros(len(packed), bool)
    elif _are_integers(packed[:1000]) and _are_integers(packed):
        bits, lost = np.nan_to_num(packed).astype(np.uint32), np.isnan(packed)
    else:
        bits = packed.astype(np.float32, copy=False).view(np.uint32)
        lost = bits == np.float32(np.nan).view(np.uint32)
    color = np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1).astype(np.uint8)
    color[lost] = MISSING
    return color, missing_remark(int(np.count_nonzero(lost)))


def _are_integers(packed: np.ndarray) -> bool:
    whole = (packed >= 0) & (packed < 1 << 24) & (packed == np.rint(packed))
    return bool((whole | np.isnan(packed)).all()) and bool(np.nanmax(packed, initial=0) > 1)
