"""Check your own data before preparation or training, per file and over all files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.folder import read_labeled
from data_prep.own.spec import FolderSpec
from pcseg.data.alignment import METERS, find_frame
from pcseg.data.io.clouds import Cloud, read_cloud
from pcseg.data.manifest import Manifest
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX, LabelSchema

FEW_POINTS = 1000
"""Files with fewer points get a warning."""

ROOM = (0.5, 100.0)
"""Smallest and largest plausible extent in meters; others get a warning."""


@dataclass(kw_only=True)
class FileCheck:
    """Findings about one file.

    Args:
        name: Path under the root.
        split: Split of the file.
        points: Number of points.
        extent: Extent in meters along x, y and z, or ``None`` without points.
        color: Smallest and largest color value, or ``None`` without colors.
        histogram: Number of points per class ``(K,)``.
        unlabeled: Number of unlabeled points.
        errors: Defects that make the file unusable.
        warnings: Suspicious properties.
    """

    name: str
    split: str
    points: int = 0
    extent: tuple[float, float, float] | None = None
    color: tuple[int, int] | None = None
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    unlabeled: int = 0
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check_folder(spec: FolderSpec, files: Mapping[Path, str]) -> Iterator[FileCheck]:
    """Check every file of a data description; ``files`` holds their splits."""
    for file, split in files.items():
        check = FileCheck(name=file.relative_to(spec.root).as_posix(), split=split)
        try:
            labeled = read_labeled(spec, file)
        except UserError as error:
            check.errors.append(str(error))
        else:
            check_cloud(check, labeled.cloud, labeled.label, spec.schema, units=spec.units, up=spec.up)
        yield check


def check_prepared(root: Path, manifest: Manifest) -> Iterator[FileCheck]:
    """Check every scene of a prepared folder."""
    for entry in manifest.scenes:
        check = FileCheck(name=entry.path, split=entry.split)
        try:
            cloud = read_cloud(root / entry.path, allow_empty=True)
            if cloud.schema is None or cloud.label is None:
                raise UserError(f"{root / entry.path}: not a prepared scene. Prepare the data again.")
            manifest.schema.require_same(cloud.schema, this=str(root), that=str(cloud.source))
            outside = (cloud.label < IGNORE_INDEX) | (cloud.label >= manifest.schema.num_classes)
            if outside.any():
                value = cloud.label[outside][0]
                raise UserError(
                    f"{cloud.source}: label {value} is not one of its classes. Prepare the data again."
                )
            if len(cloud) != entry.num_points:
                raise UserError(
                    f"{cloud.source}: holds {len(cloud)} points, but the manifest lists {entry.num_points}. "
                    "Prepare the data again."
                )
        except UserError as error:
            check.errors.append(str(error))
        else:
            check_cloud(check, cloud, cloud.label, manifest.schema, units="m", up="z")
        yield check


def check_scan(file: Path, *, units: str, up: str, columns: str | None = None) -> FileCheck:
    """Check one cloud without a label schema."""
    check = FileCheck(name=file.name, split="")
    try:
        cloud = read_cloud(file, columns=columns, allow_empty=True)
    except UserError as error:
        check.errors.append(str(error))
    else:
        check_points(check, cloud, units=units, up=up)
    return check


def check_cloud(
    check: FileCheck, cloud: Cloud, label: np.ndarray, schema: LabelSchema, *, units: str, up: str
) -> None:
    """Fill ``check`` with the findings about the points and labels of a file."""
    check.histogram = np.bincount(label[label >= 0], minlength=schema.num_classes)
    check.unlabeled = int(np.count_nonzero(label < 0))
    if len(cloud) and check.unlabeled == len(cloud):
        check.warnings.append("all points are unlabeled")
    check_points(check, cloud, units=units, up=up)


def check_points(check: FileCheck, cloud: Cloud, *, units: str, up: str) -> None:
    """Fill ``check`` with the findings about positions and colors."""
    check.points = len(cloud)
    rows = np.flatnonzero(cloud.finite)
    if not len(rows):
        check.errors.append("no points" if not len(cloud) else "all coordinates are NaN")
        return
    if len(rows) < len(cloud):
        check.warnings.append(f"{len(cloud) - len(rows):,} points have NaN or infinite coordinates")
    if len(rows) < FEW_POINTS:
        check.warnings.append(f"only {len(rows)} points")
    pos = cloud.pos[rows]
    _check_frame(check, cloud, pos, units=units, up=up)
    twice = count_duplicates(pos)
    if twice:
        check.warnings.append(f"{twice:,} points ({twice / len(pos):.1%}) are duplicates")
    _check_color(check, cloud)


def _check_frame(check: FileCheck, cloud: Cloud, pos: np.ndarray, *, units: str, up: str) -> None:
    """Check units, axes and extents."""
    stated = {"file_unit": cloud.unit, "viewpoint": cloud.viewpoint}
    frame = find_frame(pos, units=units, up=up, **stated)  # type: ignore[arg-type]
    check.warnings += [
        remark for remark, option in zip(frame.remarks, ("units", "up")) if option in frame.unsure
    ]
    low, high = np.percentile(frame.apply(pos), (1, 99), axis=0)
    check.extent = tuple(float(size) for size in high - low)  # type: ignore[assignment]
    size = max(check.extent)
    if not ROOM[0] <= size <= ROOM[1]:
        check.warnings.append(f"extent of {size:.3g} m: check that the unit is {frame.unit!r}")
    if len(pos) < FEW_POINTS or "auto" in (units, up):
        return
    found = find_frame(pos, **stated)  # type: ignore[arg-type]
    if METERS[found.unit] != METERS[units] and "units" not in found.unsure:
        check.warnings.append(f"the unit looks like {found.unit}, not {units}")
    if found.up != up and "up" not in found.unsure and not found.one_view:
        check.warnings.append(f"the up axis looks like {found.up}, not {up}")


def _check_color(check: FileCheck, cloud: Cloud) -> None:
    if cloud.color is None or not len(cloud.color):
        check.warnings.append("no color; models that use color need it")
        return
    check.color = (int(cloud.color.min()), int(cloud.color.max()))
    if check.color[0] == check.color[1]:
        check.warnings.append(f"all color values are {check.color[0]}")
    elif check.color[1] < 64:
        check.warnings.append(f"the largest color value is {check.color[1]} of 255")


def count_duplicates(pos: np.ndarray) -> int:
    """Count the points with exactly the coordinates of another point before them."""
    order = np.lexsort(pos.T)
    ordered = pos[order]
    return int(np.count_nonzero((ordered[1:] == ordered[:-1]).all(axis=1)))


def check_splits(checks: list[FileCheck], schema: LabelSchema) -> list[str]:
    """Return warnings over all files: classes without points, and classes or files in one split only."""
    warnings = []
    splits = dict.fromkeys(check.split for check in checks)
    counts = {split: np.zeros(schema.num_classes, np.int64) for split in splits}
    for check in checks:
        if len(check.histogram):
            counts[check.split] += check.histogram
    for number, name in enumerate(schema.names):
        holding = [split for split in splits if counts[split][number]]
        if not holding:
            warnings.append(f"class {name!r} has no points")
        elif len(holding) == 1 and len(splits) > 1:
            warnings.append(f"class {name!r} occurs only in {holding[0]!r}")
    if len(splits) == 1:
        warnings.append(
            f"all files are in {next(iter(splits))!r}: there is no other split for validation or testing"
        )
    return warnings
