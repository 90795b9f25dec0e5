"""Check your own data before preparation or training, per file and over all files."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.folder import read_labeled
from data_prep.own.spec import FolderSpec
from pcseg.data.alignment import Units, Up
from pcseg.data.inspect_cloud import inspect_cloud
from pcseg.data.io.clouds import Cloud, read_cloud
from pcseg.data.manifest import Manifest, verified_scene
from pcseg.data.scenes import check_labels
from pcseg.errors import UserError
from pcseg.labels import LabelSchema


@dataclass(kw_only=True)
class FileCheck:
    """Findings about one file.

    Args:
        name: Path under the root.
        points, unlabeled: Number of all points and of those without a class.
        extent: Extent in meters along x, y and z, or ``None`` without points.
        color: Smallest and largest color value, or ``None`` without colors.
        histogram: Number of points per class ``(K,)``.
        errors, warnings, remarks: Defects that make the file unusable, suspicious properties, decisions of the reader.
        content: Hash of the positions, equal for copies of a room; empty without points.
    """

    name: str
    split: str
    points: int = 0
    extent: tuple[float, ...] | None = None
    color: tuple[int, int] | None = None
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    unlabeled: int = 0
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    remarks: tuple[str, ...] = ()
    content: str = ""


def check_folder(spec: FolderSpec, files: Mapping[Path, str]) -> Iterator[FileCheck]:
    """Check every file of a data description; ``files`` holds their splits."""
    for file, split in files.items():
        check = FileCheck(name=file.relative_to(spec.root).as_posix(), split=split)
        try:
            cloud, label, _ = read_labeled(spec, file)
        except UserError as error:
            check.errors.append(str(error))
        else:
            check_cloud(check, cloud, label, spec.schema, units=spec.units, up=spec.up)
        yield check


def check_prepared(root: Path, manifest: Manifest) -> Iterator[FileCheck]:
    """Check every scene of a prepared folder."""
    for entry in manifest.scenes:
        check = FileCheck(name=entry.path, split=entry.split)
        try:
            scene = verified_scene(root, entry, manifest.schema)
            check_labels(scene.path, scene.label, scene.schema)
            cloud = read_cloud(scene.path, allow_empty=True)
        except UserError as error:
            check.errors.append(str(error))
        else:
            check_cloud(check, cloud, scene.label, manifest.schema, units="auto", up="auto")
        yield check


def check_cloud(
    check: FileCheck, cloud: Cloud, label: np.ndarray, schema: LabelSchema, *, units: Units, up: Up
) -> None:
    """Fill ``check`` with the findings about the points and labels of a file."""
    check.histogram = np.bincount(label[label >= 0], minlength=schema.num_classes)
    check.unlabeled = int(np.count_nonzero(label < 0))
    if len(cloud) and check.unlabeled == len(cloud):
        check.warnings.append("all points are unlabeled")
    check.points = len(cloud)
    report = inspect_cloud(cloud, units=units, up=up)
    if report.extent is None:
        check.errors += report.warnings
        return
    check.extent, check.remarks = report.extent, cloud.remarks
    check.content = hashlib.sha256(np.ascontiguousarray(cloud.pos, np.float64).data).hexdigest()
    check.warnings += report.warnings
    if cloud.color is not None:
        check.color = (int(cloud.color.min()), int(cloud.color.max()))


def split_counts(checks: list[FileCheck], schema: LabelSchema) -> dict[str, np.ndarray]:
    """Return the number of points per class ``(K,)`` in every split."""
    counts = {check.split: np.zeros(schema.num_classes, np.int64) for check in checks}
    for check in checks:
        if len(check.histogram):
            counts[check.split] += check.histogram
    return counts


def check_splits(checks: list[FileCheck], schema: LabelSchema) -> list[str]:
    """Return warnings over all files: classes without points, classes or files in one split only, and copies."""
    warnings = []
    splits = split_counts(checks, schema)
    for number, name in enumerate(schema.names):
        holding = [split for split, counts in splits.items() if counts[number]]
        if not holding:
            warnings.append(f"class {name!r} has no points")
        elif len(holding) == 1 and len(splits) > 1:
            warnings.append(f"class {name!r} occurs only in {holding[0]!r}")
    if len(splits) == 1:
        warnings.append(
            f"all files are in {next(iter(splits))!r}: there is no other split for validation or testing"
        )
    first: dict[str, FileCheck] = {}
    for check in checks:
        other = first.setdefault(check.content, check)
        if other is not check and check.content:
            warnings.append(f"{other.name} and {check.name} have the same points")
    return warnings
