"""LAS and LAZ files, read by laspy."""

import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

import numpy as np

from pcseg.data.io import laz_decoder
from pcseg.data.io.columns import Columns, PointTable
from pcseg.data.io.crs import CrsUnits, read_crs
from pcseg.errors import UserError, reason

if TYPE_CHECKING:
    from laspy import LasHeader, PackedPointRecord

_SMALLEST_VLR = 54
"""Bytes of a variable-length record without content."""

_SECONDS, _BYTES_PER_SECOND = 60, 200_000
"""The decoder of a LAZ file gets this time, and the time for its size at a tenth of the usual speed."""


def read_las(path: Path) -> PointTable:
    """Return x, y, z (float64) and all other dimensions of a LAS or LAZ file, and the unit of its CRS.

    Extra bytes are columns too, with scale and offset applied; those of several values are ``name.0``, ``name.1``, …

    Raises:
        UserError: Not a LAS or LAZ file, damaged or truncated, or the coordinates are degrees.

    Convention:
        The points of LAZ files are decompressed in a separate process, see :mod:`pcseg.data.io.laz_decoder`.
    """
    from laspy import LasHeader, PackedPointRecord

    data = path.read_bytes()
    _check_header(data, path)
    crs = read_crs(data)
    try:
        with path.open("rb") as stream:
            header = LasHeader.read_from(stream)
        records, start = data, int(header.offset_to_point_data)
        if header.are_points_compressed:
            records, start = _decompress(path, len(data)), 0
        kind, count = header.point_format, header.point_count
        held = (len(records) - start) // kind.size
        if held < count:
            raise ValueError(f"announces {count} points but holds {held}")
        columns = _columns(header, PackedPointRecord.from_buffer(records, kind, count=count, offset=start))
    except MemoryError:
        raise
    except Exception as error:  # laspy raises its own, ValueError, TypeError and UnicodeDecodeError
        raise UserError(
            f"{path}: cannot be read as LAS ({reason(error)}). The file is damaged. Export it again."
        ) from error
    if crs is None:
        return PointTable(columns=columns)
    return PointTable(columns=columns, unit=crs.horizontal, remarks=_describe(crs, columns, path))


def _columns(header: "LasHeader", points: "PackedPointRecord") -> Columns:
    """Return all dimensions; only those that are computed take memory, the others are views of the records."""
    from laspy.point.dims import COMPOSED_FIELDS

    table: np.ndarray = points.array
    pos = np.empty((len(table), 3))
    with np.errstate(all="ignore"):  # damaged scales give infinite positions, which are reported later
        for i, axis in enumerate("XYZ"):
            np.multiply(table[axis], header.scales[i], out=pos[:, i])
        pos += header.offsets
    columns: Columns = dict(zip("xyz", pos.T))
    for byte, parts in COMPOSED_FIELDS[header.point_format.id].items():
        packed = np.ascontiguousarray(table[byte])  # of several dimensions; 5 times as fast as by laspy
        for name, mask in parts:
            columns[name] = (packed & np.uint8(mask)) >> np.uint8((mask & -mask).bit_length() - 1)
    for name in table.dtype.names or ():
        if name in header.point_format.dimension_names and name not in ("X", "Y", "Z"):
            values = np.asarray(points[name])
            columns |= (
                {f"{name}.{i}": part for i, part in enumerate(values.T)}
                if values.ndim == 2
                else {name: values}
            )
    return columns


def _describe(crs: CrsUnits, columns: Columns, path: Path) -> tuple[str, ...]:
    """Return remarks on the CRS.

    Raises:
        UserError: The coordinates are degrees.
    """
    if crs.kind == "geographic":
        extent = [float(np.ptp(columns[axis])) if len(columns[axis]) else 0.0 for axis in "xy"]
        if max(extent) < 0.5 and max(extent) > 0:  # of degrees: up to 50 km
            raise UserError(
                f"{path}: x and y are degrees of longitude and latitude. Reproject the file to meters, for example "
                "to its UTM zone with PDAL or QGIS."
            )
        return ("the CRS of the file is in degrees, but the coordinates are not; it is ignored",)
    if crs.kind == "geocentric":
        return ("the CRS of the file is geocentric: no axis points up",)
    if crs.horizontal is None:
        return ("the CRS of the file does not state its unit",)
    if crs.vertical not in (None, crs.horizontal):
        return (f"the CRS of the file gives x and y in {crs.horizontal}, but heights in {crs.vertical}",)
    return ()


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


def _decompress(path: Path, size: int) -> bytearray:
    """Return the records of all points of a LAZ file of ``size`` bytes."""
    # -P: do not import modules from the folder of the script; one thread: each reserves memory
    command, environment = [sys.executable, "-P", laz_decoder.__file__, path], {"OPENBLAS_NUM_THREADS": "1"}
    records, seconds = bytearray(), _SECONDS + size // _BYTES_PER_SECOND
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=os.environ | environment
        ) as child,
    ):
        timer = Timer(seconds, child.kill)
        timer.start()
        try:
            assert child.stdout is not None
            while part := child.stdout.read(1 << 20):
                records += part
            child.wait()
        finally:
            child.kill()  # nothing after its end
            is_late = not timer.is_alive()
            timer.cancel()
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
    if child.returncode:
        crash = f"not decoded after {seconds} s" if is_late else "the decoder crashed"
        raise ValueError(f"LAZ: {lines[-1] if child.returncode == 1 and lines else crash}")
    return records
