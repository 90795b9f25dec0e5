"""LAS and LAZ files, read by laspy."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

from pcseg.data.io import laz_decoder
from pcseg.data.io.columns import PointTable
from pcseg.errors import UserError, reason

_FIELDS = ("intensity", "classification", "red", "green", "blue")

_SMALLEST_VLR = 54
"""Bytes of a variable-length record without content."""


def read_las(path: Path) -> PointTable:
    """Return x, y, z (float64), intensity, classification, extra dimensions, and red, green, blue if present.

    Raises:
        UserError: Not a LAS or LAZ file, or damaged or truncated.

    Convention:
        The points of LAZ files are decompressed in a separate process, see :mod:`pcseg.data.io.laz_decoder`.
    """
    from laspy import LasHeader, PackedPointRecord

    data = path.read_bytes()
    _check_header(data, path)
    try:
        with path.open("rb") as stream:
            header = LasHeader.read_from(stream)
        records, start = data, int(header.offset_to_point_data)
        if header.are_points_compressed:
            records, start = _decompress(path), 0
        kind, count = header.point_format, header.point_count
        held = (len(records) - start) // kind.size
        if held < count:
            raise ValueError(f"announces {count} points but holds {held}")
        points = PackedPointRecord.from_buffer(records, kind, count=count, offset=start)
        fields = [name for name in (*_FIELDS, *kind.extra_dimension_names) if name in kind.dimension_names]
        columns = {name.lower(): np.asarray(points[name]) for name in fields}
        with np.errstate(all="ignore"):  # damaged scales give infinite positions, which are reported later
            for axis, scale, offset in zip("xyz", header.scales, header.offsets):
                columns[axis] = points[axis.upper()] * scale + offset
    except MemoryError:
        raise
    except Exception as error:  # laspy raises its own, ValueError, TypeError and UnicodeDecodeError
        raise UserError(
            f"{path}: cannot be read as LAS ({reason(error)}). The file is damaged. Export it again."
        ) from error
    return PointTable(columns={name: column for name, column in columns.items() if column.ndim == 1})


def _check_header(data: bytes, path: Path) -> None:
    """Check the sizes in a header, because laspy loops over as many records as a damaged one announces."""
    if len(data) < 227 or not data.startswith(b"LASF"):
        raise UserError(f"{path}: not a LAS file (header missing or truncated). Export the file again.")
    header_size, start, records = struct.unpack_from("<HII", data, 94)
    if not 227 <= header_size <= header_size + _SMALLEST_VLR * records <= start <= len(data):
        raise UserError(
            f"{path}: its header does not match its size of {len(data)} bytes. The file is damaged. "
            "Export it again."
        )
    if data[104] & 0x3F > 10:  # the upper bits mark LAZ
        raise UserError(f"{path}: unknown point format {data[104] & 0x3F}. Export it as format 0 to 10.")


def _decompress(path: Path) -> bytes:
    """Return the records of all points of a LAZ file."""
    # -P: do not import modules from the folder of the script; one thread: each reserves memory
    command, environment = [sys.executable, "-P", laz_decoder.__file__, path], {"OPENBLAS_NUM_THREADS": "1"}
    child = subprocess.run(command, capture_output=True, check=False, env=os.environ | environment)
    if child.returncode:
        lines = child.stderr.decode(errors="replace").strip().splitlines()
        why = lines[-1] if child.returncode == 1 and lines else "the decoder crashed"
        raise ValueError(f"LAZ: {why}")
    return child.stdout
