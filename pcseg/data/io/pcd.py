"""PCD files of the Point Cloud Library (PCL): ASCII, binary and compressed.

Libraries are not used: Open3D takes 20 times as long (2 million points: 1.1 s against 0.05 s) and returns truncated
files as complete, and pypcd4 accepts headers that contradict the data (3 of the 7 damaged files in our tests).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.data.io.columns import AXES, Columns, PointTable
from pcseg.data.io.lines import narrow, parse_numbers
from pcseg.errors import UserError

_LZF_MOST = 100
"""Maximum ratio of LZF: 3 compressed bytes copy at most 264."""

_VECTORS = {"xyz": AXES["pos"], "rgb": AXES["color"], "rgba": AXES["color"], "normal": AXES["normal"]}
"""Columns of fields with several values; those of others are numbered."""

_DEFAULT_POSE = [0, 0, 0, 1, 0, 0, 0]


@dataclass(frozen=True, kw_only=True)
class PcdHeader:
    """The header of a PCD file.

    Args:
        row: Record type of a point; fields are arrays named by their position.
        counts: Number of points as ``POINTS``, and as width times height.
        pose: ``VIEWPOINT``: translation and quaternion (w, x, y, z).
    """

    names: list[str]
    row: np.dtype
    counts: tuple[int, int]
    encoding: str
    pose: np.ndarray


def read_pcd(path: Path) -> PointTable:
    """Return the fields of a PCD file; rows without a measurement (NaN) are kept.

    Raises:
        UserError: The file is damaged or truncated.

    Convention:
        Fields of several values become ``name.0``, ``name.1``, …. Points are not transformed by ``VIEWPOINT``.
    """
    data = path.read_bytes()
    words, start = header_words(data, path)
    header = _parse_header(words, path)
    if header.encoding == "ascii":
        parts = _read_text(data[start:], header, path=path, first_line=data[:start].count(b"\n") + 1)
    elif header.encoding == "binary":
        parts = _read_binary(data, start, header)
    elif header.encoding == "binary_compressed":
        parts = _read_compressed(data[start:], header, path=path)
    else:
        raise UserError(
            f"{path}: unknown PCD encoding {header.encoding!r}. Export it as ascii, binary or binary_compressed."
        )
    held, (points, total) = len(parts[0]), header.counts
    if held not in header.counts:
        other = f" ({total} by width and height)" if total != points else ""
        raise UserError(
            f"{path}: announces {points} points{other} but holds {held}. The file is damaged. Export it again."
        )
    remarks = []
    if points != total:
        remarks.append(
            f"the header announces {points} points, and {total} by width and height; the file holds {held}"
        )
    if header.pose[4:].any():
        remarks.append("VIEWPOINT states a rotation, which is not applied")
    columns = {
        name: part
        for field, values in zip(header.names, parts)
        for name, part in _columns(field, values).items()
    }
    viewpoint = None if (header.pose == _DEFAULT_POSE).all() else header.pose[:3]
    return PointTable(columns=columns, viewpoint=viewpoint, remarks=tuple(remarks))


def binary_rows(path: Path) -> np.ndarray:
    """Return the bytes of the points of a binary or compressed file that :func:`read_pcd` accepts, ``(N, size)``."""
    data = path.read_bytes()
    words, start = header_words(data, path)
    header = _parse_header(words, path)
    compressed = header.encoding == "binary_compressed"
    parts = (
        _read_compressed(data[start:], header, path=path) if compressed else _read_binary(data, start, header)
    )
    table = np.empty(len(parts[0]), header.row)
    for name, part in zip(header.row.names or (), parts):
        table[name] = part
    return table.view(np.uint8).reshape(len(table), -1)


def _columns(name: str, values: np.ndarray) -> Columns:
    """Return the columns of a field ``(N, count)``; none for padding."""
    width = values.shape[1]
    if name == "_" or width == 1:
        return {} if name == "_" else {name: values[:, 0]}
    names = [f"{name}.{i}" for i in range(width)]
    names[:3] = _VECTORS.get(name, names[:3])
    return dict(zip(names, values.T))


def header_words(data: bytes, path: Path) -> tuple[dict[str, list[str]], int]:
    """Return the words of each header line by its first word, and the offset of the data."""
    header: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in header:
        end = data.find(b"\n", start, start + 100_000)
        if end < 0 or len(header) > 20:
            raise UserError(f"{path}: not a PCD file (header missing or truncated). Export the file again.")
        words = data[start:end].decode("ascii", errors="replace").split()
        if words and not words[0].startswith("#"):
            header[words[0].upper()] = words[1:]
        start = end + 1
    return header, start


def _parse_header(words: dict[str, list[str]], path: Path) -> PcdHeader:
    """Parse a header; version .5 has ``COLUMNS`` of float32, and other writers leave out lines too."""
    try:
        names = [name.lower() for name in words.get("FIELDS") or words["COLUMNS"]]
        sizes, kinds = words.get("SIZE", ["4"] * len(names)), words.get("TYPE", ["F"] * len(names))
        counts = words.get("COUNT", ["1"] * len(names))
        row = np.dtype(
            [
                (str(i), f"<{kind.lower()}{size}", (int(count),))
                for i, (_, kind, size, count) in enumerate(zip(names, kinds, sizes, counts, strict=True))
            ]
        )
        total = int(words["WIDTH"][0]) * int(words.get("HEIGHT", "1")[0]) if "WIDTH" in words else None
        points = int(words["POINTS"][0]) if "POINTS" in words or total is None else total
        encoding = words["DATA"][0].lower()
        pose = np.array(words.get("VIEWPOINT", _DEFAULT_POSE), dtype=np.float64)
        if pose.shape != (7,):
            raise ValueError(f"VIEWPOINT has {len(pose)} values")
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise UserError(f"{path}: damaged PCD header ({error}). Export the file again.") from error
    if points < 0 or not row.itemsize:
        raise UserError(
            f"{path}: damaged PCD header ({points} points of {row.itemsize} bytes). Export the file again."
        )
    counts = points, points if total is None else total
    return PcdHeader(names=names, row=row, counts=counts, encoding=encoding, pose=pose)


def _read_text(data: bytes, header: PcdHeader, *, path: Path, first_line: int) -> list[np.ndarray]:
    """Read fields from lines of numbers, which PCL writes without padding."""
    kinds = [header.row[i] for i in range(len(header.names))]
    if not data or data.isspace():
        return [np.empty((0, *kind.shape), kind.base) for kind in kinds]
    values = parse_numbers(data, path=path, first_line=first_line)
    widths = [kind.shape[0] for kind in kinds]
    if values.shape[1] != sum(widths):
        widths = [0 if name == "_" else width for name, width in zip(header.names, widths)]
    if values.shape[1] != sum(widths):
        raise UserError(
            f"{path}: {values.shape[1]} values per line, but its header names {sum(widths)}. Export it again."
        )
    parts = np.split(values, np.cumsum(widths)[:-1], axis=1)
    return [narrow(part, kind.base) if part.shape[1] else part for part, kind in zip(parts, kinds)]


def _read_binary(data: bytes, start: int, header: PcdHeader) -> list[np.ndarray]:
    """Read fields from records; zeros, blanks and less than one record at the end are ignored."""
    size = header.row.itemsize
    held = (len(data) - start) // size
    for count in () if held in header.counts else header.counts:
        if count < held and not data[start + count * size :].strip(b"\0\r\n "):
            held = count
    table = np.frombuffer(data, header.row, count=held, offset=start)
    return [table[name] for name in header.row.names or ()]


def _read_compressed(data: bytes, header: PcdHeader, *, path: Path) -> list[np.ndarray]:
    """Read ``binary_compressed`` data: two sizes, then one LZF stream of all fields, one after the other."""
    packed, size = (int(number) for number in np.frombuffer(data[:8].ljust(8, b"\0"), "<u4"))
    held, rest = divmod(size, header.row.itemsize)
    if len(data) - 8 < packed or rest or held not in header.counts or size > _LZF_MOST * packed:
        raise UserError(
            f"{path}: its header announces {header.counts[0]} points of {header.row.itemsize} bytes, its data {packed} "
            f"compressed bytes for {size}, and it holds {max(len(data) - 8, 0)}. The file is damaged. Export it again."
        )
    unpacked = _unpack_lzf(data[8 : 8 + packed], size)
    parts, start = [], 0
    for kind in (header.row[i] for i in range(len(header.names))):
        end = start + held * kind.itemsize
        parts.append(unpacked[start:end].view(kind.base).reshape(held, *kind.shape))
        start = end
    return parts


def _unpack_lzf(data: bytes, size: int) -> np.ndarray:
    """Decompress an LZF stream into ``size`` bytes with the LZF filter of HDF5, on a file in memory."""
    import h5py

    if size == 0:
        return np.empty(0, dtype=np.uint8)
    with h5py.File("lzf", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("bytes", shape=(size,), dtype="u1", chunks=(size,), compression="lzf")
        dataset.id.write_direct_chunk((0,), data)
        return dataset[:]
