"""E57 files of laser scanners, read by pye57."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pcseg.data.io.columns import Columns, PointTable
from pcseg.errors import UserError, reason

if TYPE_CHECKING:
    from pye57 import E57  # pyright: ignore[reportMissingImports]

CARTESIAN = ("cartesianX", "cartesianY", "cartesianZ")
SPHERICAL = ("sphericalRange", "sphericalAzimuth", "sphericalElevation")
INVALID = ("cartesianInvalidState", "sphericalInvalidState")
VALUES = {"intensity": "intensity", "colorRed": "red", "colorGreen": "green", "colorBlue": "blue"}
"""Column names of the fields beside the positions."""


def read_e57(path: Path) -> PointTable:
    """Return x, y, z (float64), and those of intensity, red, green and blue that all scans have.

    Raises:
        UserError: Not an E57 file, a damaged one, or pye57 is not installed.

    Convention:
        Scans are concatenated in the order of the file, each transformed by its pose into the frame of the
        file. Points that the scanner marks as invalid keep their row, with NaN as coordinates.
    """
    try:
        import pye57  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            f"{path}: E57 files need pye57. Run 'pip install pye57', or export the scan as LAS or PLY."
        ) from error
    try:
        with pye57.E57(str(path)) as file:
            scans = [_read_scan(file, index) for index in range(file.scan_count)]
    except MemoryError:
        raise
    except Exception as error:  # pye57 raises its own
        raise UserError(f"{path}: cannot be read as E57 ({reason(error)}). Export it again.") from error
    if not scans:
        raise UserError(f"{path}: holds no scans. Choose another file.")
    names = [name for name in ("x", "y", "z", *VALUES.values()) if all(name in scan for scan in scans)]
    columns = {name: np.concatenate([scan[name] for scan in scans]) for name in names}
    return PointTable(columns=columns)


def _read_scan(file: "E57", index: int) -> Columns:
    """Return the columns of one scan in the frame of the file."""
    from pye57.libe57 import (  # pyright: ignore[reportMissingImports]
        SourceDestBuffer,
        VectorSourceDestBuffer,
    )
    from pye57.utils import convert_spherical_to_cartesian  # pyright: ignore[reportMissingImports]

    header = file.get_header(index)
    axes = next((axes for axes in (CARTESIAN, SPHERICAL) if set(axes) <= set(header.point_fields)), None)
    if axes is None:
        raise ValueError(f"scan {index} has no positions, only {', '.join(header.point_fields)}")
    fields = [field for field in (*axes, *INVALID, *VALUES) if field in header.point_fields]
    arrays = {field: np.empty(header.point_count, "f8" if field in axes else "f4") for field in fields}
    if header.point_count:
        buffers = VectorSourceDestBuffer()
        for field, array in arrays.items():  # the last two: convert from any type, scale integers
            buffers.append(SourceDestBuffer(file.image_file, field, array, len(array), True, True))
        header.points.reader(buffers).read()
    pos = np.stack([arrays[axis] for axis in axes], axis=1)
    if axes is SPHERICAL:
        pos = convert_spherical_to_cartesian(pos)
    if header.has_pose():
        pos = file.to_global(pos, header.rotation, header.translation)
    for field in INVALID:
        if field in arrays:
            pos[arrays[field] != 0] = np.nan
    values = {name: arrays[field] for field, name in VALUES.items() if field in arrays}
    return dict(zip("xyz", pos.T)) | values
