"""LAS and LAZ files with predicted classes."""

import shutil
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pcseg.data.io.labels import FIELDS, PointLabels, free_names
from pcseg.data.io.las import LasFile, open_las
from pcseg.errors import reason

_LONGEST = 65_535
"""Bytes of the content of a record."""

_NAMES = (*(FIELDS.names or ()), "original_classification")
_TYPES = (4, 9, 1)
"""Numbers of the types of extra bytes: int16, float32, uint8."""

Record = tuple[bytes, int, bytes, bytes]
"""User, number, description and content of a variable-length record."""


def write_las(source: Path, target: Path, labels: PointLabels) -> None:
    """Write a LAS or LAZ file with predicted classes; points, header and records are copied byte by byte.

    Every point gets the extra bytes ``predicted_class`` and ``confidence``. If the classification can hold all
    classes (31, or 255 from point format 6 on), it becomes the predicted class, its largest value marks points without
    one, and the extra byte ``original_classification`` keeps what it was. The names are in the classification lookup
    (record 0 of ``LASF_Spec``) and, with the whole schema as JSON, in record 1 of ``pcseg``.

    Raises:
        UserError: The source is damaged.
    """
    import lazrs

    file = open_las(source)
    labels.require(file.header.point_count, source)
    kind, compressed = file.header.point_format, file.header.are_points_compressed
    unclassified = 31 if kind.id < 6 else 255
    fits = labels.schema.num_classes <= unclassified
    added = 7 if fits else 6
    with source.open("rb") as stream, target.open("w+b") as out:
        head = stream.read(file.header.offset_to_point_data)
        records, rest = _read_records(head)
        records = _with_legend(_with_extra_bytes(records, file, fits), labels, unclassified if fits else 0)
        vlr = lazrs.LazVlr.new_for_compression(kind.id, kind.num_extra_bytes + added) if compressed else None  # pyright: ignore
        if vlr is not None:
            records.append((b"laszip encoded", 22204, b"", vlr.record_data()))
        _write_head(out, head, records, rest, size=kind.size + added)
        compressor = None if vlr is None else lazrs.ParLasZipCompressor(out, vlr)  # pyright: ignore
        start = 0
        try:
            for part in file.records():
                rows = labels.append(part, start)
                if fits:
                    rows = np.concatenate([rows, _classify(rows, labels, start, kind.id)], axis=1)
                out.write(rows.data) if compressor is None else compressor.compress_many(rows.reshape(-1))
                start += len(part)
            if compressor is not None:
                compressor.done()
        except lazrs.LazrsError as error:  # pyright: ignore - a full disk
            raise OSError(reason(error)) from error
        _copy_tail(stream, out, file)


def _classify(rows: np.ndarray, labels: PointLabels, start: int, kind: int) -> np.ndarray:
    """Set the classification of points to the predicted class, and return what it was, ``(n, 1)``."""
    label, _ = labels.rows(start, start + len(rows))
    if kind < 6:  # three flags in the same byte
        original = rows[:, 15:16] & 31
        rows[:, 15] = (rows[:, 15] & 0xE0) | np.where(label < 0, 31, label).astype(np.uint8)
    else:
        original = rows[:, 16:17].copy()
        rows[:, 16] = np.where(label < 0, 255, label)
    return original


def _read_records(head: bytes) -> tuple[list[Record], bytes]:
    """Return the records behind the header, without that of the compression, and the bytes behind them."""
    at, _, count = struct.unpack_from("<HII", head, 94)
    records = []
    for _ in range(count):
        user, number, length, text = struct.unpack_from("<2x16sHH32s", head, at)
        content = bytes(head[at + 54 : at + 54 + length])
        # an index of compressed chunks (COPC) does not fit the chunks of the new file
        if user.rstrip(b"\0") not in (b"laszip encoded", b"copc"):
            records.append((user.rstrip(b"\0"), number, text, content))
        at += 54 + length
    return records, bytes(head[at:])


def _with_extra_bytes(records: list[Record], file: LasFile, fits: bool) -> list[Record]:
    """Return records that describe all extra bytes of the new file."""
    kind = file.header.point_format
    old = [record for record in records if record[:2] == (b"LASF_Spec", 4)]
    content = old[0][3] if old and kind.num_extra_bytes else b""
    unknown = 0
    for dimension in kind.extra_dimensions:
        if dimension.description == "Un-registered ExtraBytes":  # by laspy
            unknown = dimension.num_elements
    while unknown > 0:
        content += _describe(0, min(unknown, 255), "undescribed")
        unknown -= 255
    names = free_names(kind.dimension_names, _NAMES)
    for number, name in list(zip(_TYPES, names))[: 3 if fits else 2]:
        content += _describe(number, 0, name)
    return [record for record in records if record not in old] + [(b"LASF_Spec", 4, b"Extra bytes", content)]


def _describe(number: int, options: int, name: str) -> bytes:
    return struct.pack("<2xBB32s4x120x32s", number, options, name.encode(), b"")


def _with_legend(records: list[Record], labels: PointLabels, unclassified: int) -> list[Record]:
    """Return records with the names of the classes; a lookup of the file is kept under another name."""
    schema = labels.schema.to_json().encode()
    if len(schema) <= _LONGEST:
        records = [*records, (b"pcseg", 1, b"Label schema as JSON", schema)]
    if not unclassified:
        return records
    lookup = [*enumerate(labels.schema.names), (unclassified, "unlabeled")]
    content = b"".join(struct.pack("<B15s", number, name.encode()) for number, name in lookup)
    kept = [(b"pcseg", 2, b"Original lookup", r[3]) if r[:2] == (b"LASF_Spec", 0) else r for r in records]
    return [*kept, (b"LASF_Spec", 0, b"Classification lookup", content)]


def _write_head(out: BinaryIO, head: bytes, records: list[Record], rest: bytes, *, size: int) -> None:
    """Write a header for points of ``size`` bytes, the records, and the bytes behind them."""
    (length,) = struct.unpack_from("<H", head, 94)
    parts = [struct.pack("<2x16sHH32s", r[0], r[1], len(r[3]), r[2]) + r[3] for r in records]
    body = b"".join([*parts, rest])
    fixed = bytearray(head[:length])
    struct.pack_into("<II", fixed, 96, length + len(body), len(records))
    struct.pack_into("<H", fixed, 105, size)
    out.write(fixed + body)


def _copy_tail(stream: BinaryIO, out: BinaryIO, file: LasFile) -> None:
    """Copy the records behind the points, and set where they begin."""
    fields = {"start_of_waveform_data_packet_record": 227, "start_of_first_evlr": 235}
    starts = {at: getattr(file.header, name) for name, at in fields.items()}
    starts = {at: start for at, start in starts.items() if start > file.header.offset_to_point_data}
    if not starts:
        return
    shift = out.seek(0, 2) - min(starts.values())
    stream.seek(min(starts.values()))
    shutil.copyfileobj(stream, out)
    for at, start in starts.items():
        out.seek(at)
        out.write(struct.pack("<Q", start + shift))
