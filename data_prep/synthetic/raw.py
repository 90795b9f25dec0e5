"""The raw S3DIS layout: rooms as text, one file per object and one with all points of the room."""

from collections import Counter
from pathlib import Path

import numpy as np

_SIGN = np.array([b"", b"-"])
_WHOLE = np.array([b"%d" % value for value in range(10_000)])
_MILLI = np.array([b".%03d" % value for value in range(1000)])
_MICRO = np.array([b"%03d" % value for value in range(1000)])
_COLOR = np.array([b" %d" % value for value in range(256)])


def format_lines(pos: np.ndarray, color: np.ndarray, *, decimals: int = 3) -> np.ndarray:
    """Format lines ``x y z r g b`` as a byte table ``(N, width)``; :func:`to_bytes` drops the padding.

    Args:
        pos: ``(N, 3)`` meters, below 10 km.
        color: ``(N, 3)`` integers 0..255.
        decimals: 3 (colors as integers) or 6 (colors with six decimals too).
    """
    units = np.rint(np.asarray(pos, np.float64) * 10**decimals).astype(np.int64)
    size = np.abs(units)
    columns = []
    for axis in range(3):
        if axis:
            columns.append(np.full(len(units), b" "))
        fraction = size[:, axis] % 10**decimals
        columns += [_SIGN[(units[:, axis] < 0).astype(int)], _WHOLE[size[:, axis] // 10**decimals]]
        columns.append(_MILLI[fraction // 10 ** (decimals - 3)])
        if decimals == 6:
            columns.append(_MICRO[fraction % 1000])
    for channel in range(3):
        columns.append(_COLOR[color[:, channel]])
        if decimals == 6:
            columns.append(np.full(len(units), b".000000"))
    columns.append(np.full(len(units), b"\n"))
    return np.concatenate([column[:, None].view(np.uint8) for column in columns], axis=1)


def to_bytes(table: np.ndarray) -> bytes:
    return table.tobytes().translate(None, b"\0")


def object_names(labels: list[str]) -> list[str]:
    """Return file stems ``<class>_<n>`` of instances, n from 1 in each class."""
    counts: Counter[str] = Counter()
    names = []
    for label in labels:
        counts[label] += 1
        names.append(f"{label}_{counts[label]}")
    return names


def write_room(
    folder: Path,
    room: str,
    pos: np.ndarray,
    color: np.ndarray,
    instance: np.ndarray,
    labels: list[str],
    *,
    decimals: int = 3,
) -> None:
    """Write ``<room>.txt`` and ``Annotations/<class>_<n>.txt`` into a new ``folder``.

    Args:
        pos, color, instance: ``(N, 3)`` meters, ``(N, 3)`` uint8, ``(N,)``.
        labels: Class name of each instance; one without points has no file.
        decimals: 3 in the aligned release, 6 in the other.
    """
    seen, instance = np.unique(instance, return_inverse=True)
    names = object_names([labels[index] for index in seen])
    table = format_lines(pos, color, decimals=decimals)
    annotations = folder / "Annotations"
    annotations.mkdir(parents=True)
    (folder / f"{room}.txt").write_bytes(to_bytes(table))
    order = np.argsort(instance, kind="stable")
    ends = np.cumsum(np.bincount(instance))
    for name, start, stop in zip(names, [0, *ends[:-1]], ends):
        (annotations / f"{name}.txt").write_bytes(to_bytes(table[order[start:stop]]))
