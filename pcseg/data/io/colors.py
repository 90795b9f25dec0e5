"""Colors of a point table as bytes, whatever their type and scale."""

from pathlib import Path

import numpy as np

from pcseg.data.io.columns import Columns, stack_field
from pcseg.errors import UserError

_SAMPLE = 100_000
"""Number of points that decide the scale."""


def stack_color(columns: Columns, path: Path) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return colors ``(N, 3)`` uint8 from three columns or one packed column, or ``None``, and remarks on their scale.

    Raises:
        UserError: The values are not colors.
    """
    color = stack_field(columns, "color")
    if color is not None:
        return to_bytes(color, path)
    packed = next((columns[name] for name in ("rgb", "rgba") if name in columns), None)
    if packed is None or packed.dtype.kind not in "fiu":
        return None, ()
    return unpack_color(packed), ()


def to_bytes(color: np.ndarray, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert colors to uint8 from bytes, 16-bit integers, fractions 0..1 or -1..1; return them and remarks.

    Raises:
        UserError: Many values are beyond all of these scales.

    Convention:
        The type and most values decide, not the largest value: single values beyond the scale are clipped. Missing
        colors (NaN) become black.
    """
    if color.dtype in (np.uint8, np.int8):  # int8: some programs write bytes as "char"
        return color.view(np.uint8), ()
    scale, offset, name = find_scale(color[:: max(1, len(color) // _SAMPLE)], path)
    with np.errstate(over="ignore"):
        values = color.astype(np.float32)
    missing = 0
    if np.isnan(values.min(initial=0)):
        missing = int(np.count_nonzero(np.isnan(values).any(axis=1)))
        values[np.isnan(values)] = -offset / scale
    values *= scale
    if offset:
        values += offset
    remarks = [f"colors: read as {name}"]
    remarks += [f"colors: {missing:,} points are NaN and become black"] if missing else []
    return np.clip(np.rint(values, out=values), 0, 255, out=values).astype(np.uint8), tuple(remarks)


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


def unpack_color(packed: np.ndarray) -> np.ndarray:
    """Unpack colors 0x00RRGGBB, which PCD files often store in the bits of a float32.

    *Convention*: floats that are integers above 1 are numbers 0x00RRGGBB, as text files hold them.
    """
    if packed.dtype.kind != "f":
        bits = packed.astype(np.uint32)
    elif ((packed == np.rint(packed)) & (packed <= 0xFFFFFF) & (packed >= 0)).all() and packed.max(
        initial=0
    ) > 1:
        bits = packed.astype(np.uint32)
    else:
        bits = packed.astype(np.float32).view(np.uint32)
    return np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1).astype(np.uint8)
