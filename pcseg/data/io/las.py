"""LAS and LAZ files, read by laspy."""

import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Literal

import numpy as np

from pcseg.data.io import laz_decoder
from pcseg.data.io.columns import Columns, PointTable
from pcseg.data.io.crs import CrsUnits, read_crs
from pcseg.errors import UserError, reason

if TYPE_CHECKING:
    from laspy import LasHeader, PackedPointRecord

_SMALLEST_VLR = 54
"""Bytes of a variable-length record without content."""

_FEW_THREADS = {"OPENBLAS_NUM_THREADS": "1", "RAYON_NUM_THREADS": "4", "MALLOC_ARENA_MAX": "2"}
"""Environment of the decoder, whose address space is limited: every thread reserves some."""

_SECONDS, _BYTES_PER_SECOND = 60, 200_000
"""The decoder of a LAZ file gets this time, and the time for its size at a tenth of the usual speed."""


PART = 1_000_000
"""Points that are read at a time."""


@dataclass(frozen=True, kw_only=True)
class LasFile:
    """The header of a LAS or LAZ file, the units of its CRS, and access to its points."""

    path: Path
    header: "LasHeader"
    crs: CrsUnits | None

    def records(
        self, part: int = PART, *, every: int = 0, fields: Literal["all", "position"] = "all"
    ) -> Iterator[np.ndarray]:
        """Yield the bytes of the points ``(n, record size)``, ``part`` points at a time.

        With ``every``, only the first ``part`` of each ``every`` points are read. With ``position`` as ``fields``,
        everything but positions, colors and extra bytes may be 0.

        Raises:
            UserError: The file is damaged or truncated.

        Convention:
            The points of LAZ files are decompressed in a separate process, see :mod:`pcseg.data.io.laz_decoder`.
        """
        size, count, every = self.header.point_format.size, self.header.point_count, max(part, every)
        fields = "all" if self.header.point_format.num_extra_bytes else fields
        read = partial(self._decompressed, fields) if self.header.are_points_compressed else self._stored
        try:
            with closing(read(part, every)) as blocks:
                for start in range(0, count, every):
                    block = next(blocks, b"")
                    held = len(block) // size
                    if held != min(part, count - start):
                        raise ValueError(f"announces {count} points but holds {start + held}")
                    yield np.frombuffer(block, np.uint8, held * size).reshape(held, size)
                    del block
        except MemoryError:
            raise
        except (OSError, ValueError) as error:
            raise _damaged(self.path, error) from error

    def table(self, records: np.ndarray) -> PointTable:
        """Return the columns of points from their bytes ``(n, record size)``.

        Raises:
            UserError: The coordinates are degrees.
        """
        from laspy import PackedPointRecord

        kind = self.header.point_format
        points = PackedPointRecord(records.reshape(-1).view(kind.dtype()), kind)
        columns = _columns(self.header, points)
        if self.crs is None:
            return PointTable(columns=columns)
        remarks = _describe(self.crs, columns, self.path)
        return PointTable(columns=columns, unit=self.crs.horizontal, remarks=remarks)

    def _stored(self, part: int, every: int) -> Generator[bytes]:
        size = self.header.point_format.size
        with self.path.open("rb") as file:
            for start in range(0, self.header.point_count, every):
                file.seek(self.header.offset_to_point_data + start * size)
                yield file.read(min(part, self.header.point_count - start) * size)

    def _decompressed(self, fields: str, part: int, every: int) -> Generator[bytearray]:
        """Yield the records that the decoder writes; reading stops if it makes no progress."""
        size, count = self.header.point_format.size, self.header.point_count
        lengths = [min(part, count - start) * size for start in range(0, count, every)]
        # -P: do not import modules from the folder of the script
        command = [sys.executable, "-P", laz_decoder.__file__, str(self.path), str(part), str(every), fields]
        seconds, late = _SECONDS + self.path.stat().st_size // _BYTES_PER_SECOND, []
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, env=os.environ | _FEW_THREADS
            ) as child,
        ):

            def stop() -> None:
                late.append(True)
                child.kill()

            assert child.stdout is not None
            left, held, length = float(seconds), 0, 0  # the time that is spent on waiting
            try:
                for length in lengths:
                    block, begin = bytearray(length), time.monotonic()
                    timer = Timer(left, stop)
                    timer.start()
                    held = child.stdout.readinto(block)  # type: ignore[attr-defined]
                    timer.cancel()
                    left -= time.monotonic() - begin
                    if held < length:
                        child.wait()
                        break
                    yield block
            finally:
                child.kill()  # nothing after its end
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
        if child.returncode and held < length:
            crash = f"not decoded after {seconds} s" if late else "the decoder crashed"
            raise ValueError(f"LAZ: {lines[-1] if child.returncode == 1 and lines else crash}")


def open_las(path: Path) -> LasFile:
    """Read the header of a LAS or LAZ file.

    Raises:
        UserError: Not a LAS or LAZ file, or its header is damaged.
    """
    from laspy import LasHeader

    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _check_header(data, path)
        crs = read_crs(data)
        try:
            header = LasHeader.read_from(stream)
        except Exception as error:  # laspy raises its own, ValueError, TypeError and UnicodeDecodeError
            raise _damaged(path, error) from error
    return LasFile(path=path, header=header, crs=crs)


def read_las(path: Path) -> PointTable:
    """Return x, y, z (float64) and all other dimensions of a LAS or LAZ file, and the unit of its CRS.

    Extra bytes are columns too, with scale and offset applied; those of several values are ``name.0``, ``name.1``, …

    Raises:
        UserError: Not a LAS or LAZ file, damaged or truncated, or the coordinates are degrees.
    """
    file, records = open_las(path), bytearray()
    for part in file.records():
        records += part.data
    try:
        return file.table(np.frombuffer(records, np.uint8))
    except (MemoryError, UserError):
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    if not path.is_file():
        return UserError(f"{path}: no longer exists. Restore it.")
    return UserError(
        f"{path}: cannot be read as LAS ({reason(error)}). The file is damaged. Export it again."
    )


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
            if values.ndim == 2:
                columns |= {f"{name}.{i}": part for i, part in enumerate(values.T)}
            else:
                columns[name] = values
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


def _check_header(data: bytes | mmap.mmap, path: Path) -> None:
    """Check the sizes in a header, because laspy loops over as many records as a damaged one announces."""
    if len(data) < 227 or data[:4] != b"LASF":
        raise UserError(f"{path}: not a LAS file (header missing or truncated). Export the file again.")
    header_size, start, records = struct.unpack_from("<HII", data, 94)
    if not 227 <= header_size <= header_size + _SMALLEST_VLR * records <= start <= len(data):
        raise UserError(
            f"{path}: its header does not match its size of {len(data)} bytes. The file is damaged. "
            "Export it again."
        )
    if data[104] & 0x3F > 10:  # the upper bits mark LAZ
        raise UserError(f"{path}: unknown point format {data[104] & 0x3F}. Export it as format 0 to 10.")
