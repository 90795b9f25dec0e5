"""E57 files of laser scanners, read by pye57."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pcseg.data.io.colors import MISSING, find_scale, missing_remark
from pcseg.data.io.columns import Columns, PointTable
from pcseg.errors import UserError, reason

if TYPE_CHECKING:
    from pye57 import E57, ScanHeader  # pyright: ignore[reportMissingImports]

CARTESIAN = ("cartesianX", "cartesianY", "cartesianZ")
SPHERICAL = ("sphericalRange", "sphericalAzimuth", "sphericalElevation")
INVALID = ("cartesianInvalidState", "sphericalInvalidState")
COLOR, NORMAL = ("red", "green", "blue"), ("nx", "ny", "nz")
NAMES = {"colorRed": "red", "colorGreen": "green", "colorBlue": "blue", "nor:normalX": "nx", "nor:normalY": "ny",
         "nor:normalZ": "nz"}  # fmt: skip
"""Column names of fields; others keep their name, in lower case and without the prefix of extensions."""

INVALID_VALUES = {"isColorInvalid": COLOR, "isIntensityInvalid": ("intensity",)}
"""Columns without a value where a field is 1."""

SKIPPED = ("rowIndex", "columnIndex", "returnIndex", "returnCount", "timeStamp", "isTimeStampInvalid")
"""Fields that describe the acquisition; to read them takes as long as the positions."""


def read_e57(path: Path) -> PointTable:
    """Return x, y, z (float64), colors, normals, the intensity and further values of all scans of an E57 file.

    Raises:
        UserError: Not an E57 file, a damaged one, or pye57 is not installed.

    Convention:
        Scans are concatenated in the order of the file, each transformed by its pose into the frame of the
        file. Points that the scanner marks as invalid keep their row, with NaN as coordinates. Points without a
        color are gray if other points have one; other missing values are NaN.
    """
    try:
        import pye57  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            f"{path}: E57 files need pye57. Run 'pip install pye57', or export the scan as LAS or PLY."
        ) from error
    try:
        with pye57.E57(str(path)) as file:
            scans = [_read_scan(file, index, path) for index in range(file.scan_count)]
    except (MemoryError, UserError):
        raise
    except Exception as error:  # pye57 raises its own
        raise UserError(f"{path}: cannot be read as E57 ({reason(error)}). Export it again.") from error
    if not scans:
        raise UserError(f"{path}: holds no scans. Choose another file.")
    scans = [scan for scan in scans if len(scan.columns["x"])] or scans[:1]
    counts = [len(scan.columns["x"]) for scan in scans]
    columns: Columns = {}
    for name in dict.fromkeys(name for scan in scans for name in scan.columns):
        parts = (scan.columns.get(name, np.full(n, np.nan, "f4")) for scan, n in zip(scans, counts))
        columns[name] = np.concatenate(list(parts))
    remarks = list(dict.fromkeys(remark for scan in scans for remark in scan.remarks))
    for name, what in {"intensity": "intensity (NaN)", "nx": "normal (NaN)"}.items():
        missing = int(np.count_nonzero(np.isnan(columns.get(name, np.zeros(0)))))
        remarks += [f"{missing:,} of {sum(counts):,} points have no {what}"] if missing else []
    remarks += missing_remark(int(np.count_nonzero(np.isnan(columns.get("red", np.zeros(0))))))
    for name in COLOR:
        if name in columns:
            columns[name] = np.nan_to_num(columns[name], nan=MISSING).astype(np.uint8)
    viewpoint = scans[0].viewpoint if len(scans) == 1 else None
    return PointTable(columns=columns, unit="m", viewpoint=viewpoint, remarks=tuple(remarks))


def _read_scan(file: "E57", index: int, path: Path) -> PointTable:
    """Return a scan in the frame of the file; colors are in 0..255, NaN where there is none."""
    from pye57.utils import convert_spherical_to_cartesian  # pyright: ignore[reportMissingImports]

    header = file.get_header(index)
    axes = next((axes for axes in (CARTESIAN, SPHERICAL) if set(axes) <= set(header.point_fields)), None)
    if axes is None:
        if not header.point_count:
            return PointTable(columns={axis: np.empty(0) for axis in "xyz"})
        raise ValueError(f"scan {index} has no positions, only {', '.join(header.point_fields)}")
    arrays = _read_fields(file, header, axes)
    pos = np.stack([arrays.pop(axis) for axis in axes], axis=1)
    if axes is SPHERICAL:
        pos = convert_spherical_to_cartesian(pos)
    rotation, position = _pose(header)
    pos = pos @ rotation.T + position
    for field in INVALID:
        if field in arrays:
            pos[arrays.pop(field) != 0] = np.nan
    invalid = {field: arrays.pop(field) != 0 for field in INVALID_VALUES if field in arrays}
    columns = {NAMES.get(field, field.rpartition(":")[2].lower()): array for field, array in arrays.items()}
    remarks = _scale_color(columns, header, path) if set(COLOR) <= set(columns) else ()
    if set(NORMAL) <= set(columns):
        normal = np.stack([columns[name] for name in NORMAL], axis=1) @ rotation.T
        columns |= dict(zip(NORMAL, normal.T))
    for field, mask in invalid.items():
        for name in set(INVALID_VALUES[field]) & set(columns):
            columns[name][mask] = np.nan
    viewpoint = position if position.any() else None
    return PointTable(columns=dict(zip("xyz", pos.T)) | columns, viewpoint=viewpoint, remarks=remarks)


def _read_fields(file: "E57", header: "ScanHeader", axes: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read the fields of a scan."""
    from pye57.libe57 import (  # pyright: ignore[reportMissingImports]
        SourceDestBuffer,
        VectorSourceDestBuffer,
    )

    others = {*CARTESIAN, *SPHERICAL, *SKIPPED} - set(axes)
    fields = [field for field in header.point_fields if field not in others]
    small = {*INVALID, *INVALID_VALUES, *NAMES, "intensity"}
    arrays = {field: np.empty(header.point_count, "f4" if field in small else "f8") for field in fields}
    if header.point_count:
        buffers = VectorSourceDestBuffer()
        for field, array in arrays.items():  # the last two: convert from any type, scale integers
            buffers.append(SourceDestBuffer(file.image_file, field, array, len(array), True, True))
        header.points.reader(buffers).read()
    return arrays


def _pose(header: "ScanHeader") -> tuple[np.ndarray, np.ndarray]:
    """Return the rotation (3, 3) and the translation (3,) of a scan; either may be missing."""
    from pyquaternion import Quaternion  # pyright: ignore[reportMissingImports]

    pose = header.node["pose"] if header.has_pose() else None
    quaternion, position = np.array([1.0, 0, 0, 0]), np.zeros(3)
    if pose is not None and pose.isDefined("rotation"):
        quaternion = np.array([pose["rotation"][name].value() for name in "wxyz"], dtype=np.float64)
    if pose is not None and pose.isDefined("translation"):
        position = np.array([pose["translation"][name].value() for name in "xyz"], dtype=np.float64)
    return np.asarray(Quaternion(quaternion if quaternion.any() else [1, 0, 0, 0]).rotation_matrix), position


def _scale_color(columns: Columns, header: "ScanHeader", path: Path) -> tuple[str, ...]:
    """Scale colors to 0..255 by the limits that the scan states, or by the values if these contradict them."""
    color = np.stack([columns[name] for name in COLOR], axis=1)
    largest = float(np.nanmax(color, initial=0))
    limits = header.node["colorLimits"] if header.node.isDefined("colorLimits") else None
    stated = 0.0
    if limits is not None and limits.isDefined("colorRedMaximum"):
        stated = float(limits["colorRedMaximum"].value())
    fits = stated / 256 < largest <= stated
    factor, offset, name = (255 / stated, 0.0, "stated") if fits else find_scale(color, path)
    if factor != 1:
        columns |= dict(zip(COLOR, np.clip(np.rint(color * factor + offset), 0, 255).T))
    if fits or not stated or not largest:
        return ()
    return (f"colors: the file states a maximum of {stated:g}, but values reach {largest:g}; read as {name}",)
