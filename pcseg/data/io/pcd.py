"""PCD files of the Point Cloud Library: ASCII, binary and compressed."""

from pathlib import Path

import numpy as np

from pcseg.data.io.tables import Columns, parse_numbers
from pcseg.errors import UserError

LZF_MOST = 100
"""Bytes that a compressed one can stand for: three copy at most 264."""


def read_pcd(path: Path) -> Columns:
    """The fields of a PCD file; rows without a measurement (NaN) are kept.

    Raises:
        UserError: The file is damaged or ends early.
    """
    data = path.read_bytes()
    header, start = parse_header(data, path)
    try:
        names = [name.lower() for name in header["FIELDS"]]
        sizes, kinds = header["SIZE"], [kind.lower() for kind in header["TYPE"]]
        counts = [int(count) for count in header.get("COUNT", ["1"] * len(names))]
        fields = [
            (name, f"<{kind}{size}", n)
            for name, kind, size, n in zip(names, kinds, sizes, counts, strict=True)
        ]
        total = int(header["WIDTH"][0]) * int(header["HEIGHT"][0])
        points = int(header["POINTS"][0]) if "POINTS" in header else total
        encoding = header["DATA"][0]
        row = np.dtype([(f"{i} {name}", kind, (n,)) for i, (name, kind, n) in enumerate(fields)])
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise UserError(f"{path}: damaged PCD header ({error})") from error
    if points < 0 or not row.itemsize:
        raise UserError(f"{path}: damaged PCD header ({points} points of {row.itemsize} bytes)")
    if points != total:
        raise UserError(f"{path}: announces {points} points but its width and height give {total}")
    if encoding == "ascii":
        table = read_ascii(data[start:], row, path=path, first_line=data[:start].count(b"\n") + 1)
    elif encoding == "binary":
        table = np.frombuffer(data, row, count=min(points, (len(data) - start) // row.itemsize), offset=start)
    elif encoding == "binary_compressed":
        table = read_compressed(data[start:], row, points, path=path)
    else:
        raise UserError(
            f"{path}: PCD data {encoding!r} is unknown; ascii, binary, binary_compressed are known"
        )
    if len(table) != points:
        raise UserError(f"{path}: announces {points} points but holds {len(table)}; the file is damaged")
    # fields of several values (histograms) and padding ("_") say nothing here
    return {
        name: table[key][:, 0] for key, (name, _, n) in zip(row.names or (), fields) if n == 1 and name != "_"
    }


def parse_header(data: bytes, path: Path) -> tuple[dict[str, list[str]], int]:
    """The header's lines by their first word, and the offset of the first byte after it."""
    header: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in header:
        end = data.find(b"\n", start, start + 100_000)
        if end < 0 or len(header) > 20:
            raise UserError(f"{path}: not a PCD file (its header is missing or cut off)")
        words = data[start:end].decode("ascii", errors="replace").split()
        if words and not words[0].startswith("#"):
            header[words[0].upper()] = words[1:]
        start = end + 1
    return header, start


def read_ascii(data: bytes, row: np.dtype, *, path: Path, first_line: int) -> np.ndarray:
    """Lines of numbers as records."""
    if not data.strip():
        return np.empty(0, dtype=row)
    values = parse_numbers(data, path=path, first_line=first_line)
    table = np.empty(len(values), dtype=row)
    widths = [table[name][0].size for name in row.names or ()]
    if values.shape[1] != sum(widths):
        raise UserError(f"{path}: {values.shape[1]} values a line, but its header names {sum(widths)}")
    for name, end, width in zip(row.names or (), np.cumsum(widths), widths):
        table[name] = values[:, end - width : end]
    return table


def read_compressed(data: bytes, row: np.dtype, points: int, *, path: Path) -> np.ndarray:
    """Records of ``binary_compressed`` data: two sizes, then one LZF stream of all fields in turn."""
    if len(data) < 8:
        raise UserError(f"{path}: ends before its data; the file is damaged")
    packed, size = (int(number) for number in np.frombuffer(data, "<u4", count=2))
    if len(data) - 8 < packed or size != points * row.itemsize:
        raise UserError(
            f"{path}: announces {packed} compressed bytes for {points} points of {row.itemsize} bytes, but "
            f"holds {len(data) - 8} for {size / row.itemsize:g}; the file is damaged"
        )
    if size > LZF_MOST * packed:
        raise UserError(f"{path}: {packed} compressed bytes cannot hold {size}; the file is damaged")
    table = np.empty(points, dtype=row)
    unpacked = unpack_lzf(data[8 : 8 + packed], size)
    start = 0
    for name in row.names or ():
        end = start + points * table[name][:1].nbytes if points else start
        table[name] = np.frombuffer(unpacked[start:end], table[name].dtype).reshape(table[name].shape)
        start = end
    return table


def unpack_lzf(data: bytes, size: int) -> np.ndarray:
    """``size`` bytes of an LZF stream; HDF5 has the same codec, so a file in memory unpacks it fast."""
    import h5py

    if size == 0:
        return np.empty(0, dtype=np.uint8)
    with h5py.File("lzf", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("bytes", shape=(size,), dtype="u1", chunks=(size,), compression="lzf")
        dataset.id.write_direct_chunk((0,), data)
        return dataset[:]
