"""E57 files of laser scanners: the points of all scans of a file as columns, read by pye57."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pcseg.data.io.tables import Columns
from pcseg.errors import UserError, reason

if TYPE_CHECKING:
    from pye57 import E57  # pyright: ignore[reportMissingImports]

CARTESIAN = ("cartesianX", "cartesianY", "cartesianZ")
SPHERICAL = ("sphericalRange", "sphericalAzimuth", "sphericalElevation")
INVALID = ("cartesianInvalidState", "sphericalInvalidState")
VALUES = {"intensity": "intensity", "colorRed": "red", "colorGreen": "green", "colorBlue": "blue"}
"""Fields beside the positions, and their names here."""


def read_e57(path: Path) -> Columns:
    """Columns x, y, z (float64), and those of intensity, red, green, blue that all scans of the file have.

    Raises:
        UserError: Not an E57 file, a damaged one, or the package that reads it is not there.

    Convention:
        Scans follow each other in the order of the file, each moved to its pose, in the file's frame. Points
        that the scanner marked as invalid stay as rows without a position (NaN).
    """
    try:
        import pye57  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            f'{path}: E57 files need pye57: pip install "pcseg[scans]"; or turn it into LAS or PLY'
        ) from error
    try:
        with pye57.E57(str(path)) as file:
            scans = [read_scan(file, index) for index in range(file.scan_count)]
    except MemoryError:
        raise  # told by the caller
    except Exception as error:  # pye57 has its own
        raise UserError(f"{path}: cannot be read as E57 ({reason(error)})") from error
    if not scans:
        raise UserError(f"{path}: holds no scans")
    names = [name for name in ("x", "y", "z", *VALUES.values()) if all(name in scan for scan in scans)]
    return {name: np.concatenate([scan[name] for scan in scans]) for name in names}


def read_scan(file: "E57", index: int) -> Columns:
    """The points of one scan in the file's frame."""
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
        for field, array in arrays.items():  # numbers of any kind are converted
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
