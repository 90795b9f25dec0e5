"""Report what is understood of a point cloud, and what looks wrong with it."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pcseg.data.alignment import METERS, UNIT_NAMES, Frame, Units, Up, find_frame
from pcseg.data.io.clouds import Cloud, cloud_frame, from_table, is_prepared, read_cloud, read_table
from pcseg.data.io.columns import INSTANCE_NAMES, NAMES, Columns, label_columns
from pcseg.data.surfaces import find_strays, measure_spacing

FEW_POINTS = 1000
"""Fewer points get a warning."""

ROOM = (0.5, 100.0)
"""Smallest and largest plausible extent in meters; others get a warning."""

COARSE = 0.1
"""Spacing in meters above which points get a warning."""

MOST_CLASSES = 300
"""A label column with more values than this looks like numbers of objects."""


@dataclass(kw_only=True)
class CloudReport:
    """What is understood of a cloud: its properties with values, and what looks wrong.

    Args:
        columns: Name, role and values of every column.
        classes: Number of points by label; ``unlabeled`` is one of them.
        extent: Extent in meters along x, y and z of 98 % of the points, ``None`` without points.
    """

    source: Path
    facts: list[tuple[str, str]] = field(default_factory=list)
    columns: list[tuple[str, str, str]] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    extent: tuple[float, ...] | None = None


def inspect_file(
    path: Path, *, units: Units = "auto", up: Up = "auto", columns: str | None = None
) -> CloudReport:
    """Read a file and report on it; arguments as in :func:`read_cloud` and :func:`find_frame`.

    Raises:
        UserError: The file cannot be read.
    """
    given: Columns = {}
    if columns is None and path.is_file() and is_prepared(path):
        cloud = read_cloud(path, allow_empty=True)
        for name, array in (("pos", cloud.pos), ("color", cloud.color), ("normal", cloud.normal)):
            given |= {} if array is None else dict(zip(NAMES[name][0], array.T))
        given |= {} if cloud.label is None else {"label": cloud.label}
    else:
        table = read_table(path, columns=columns)
        cloud, given = from_table(table, path), table.columns
    report = inspect_cloud(cloud, units=units, up=up)
    _add_labels(report, cloud, given)
    roles = _roles(given)
    report.columns = [(name, roles.get(name, "not used"), _values(column)) for name, column in given.items()]
    return report


def inspect_cloud(cloud: Cloud, *, units: Units = "auto", up: Up = "auto") -> CloudReport:
    """Report on positions, units, axes and colors of a cloud."""
    rows = np.flatnonzero(cloud.finite)
    form = cloud.source.suffix[1:].upper() if cloud.schema is None else "prepared scene"
    report = CloudReport(source=cloud.source, facts=[("format", form), ("points", f"{len(cloud):,}")])
    if not len(rows):
        report.warnings.append("no points" if not len(cloud) else "all coordinates are NaN")
    else:
        if len(rows) < len(cloud):
            report.warnings.append(f"{len(cloud) - len(rows):,} points have NaN or infinite coordinates")
        if len(rows) < FEW_POINTS:
            report.warnings.append(f"only {len(rows)} points")
        frame = cloud_frame(cloud, rows, units=units, up=up)
        _add_positions(report, cloud.pos[rows], frame)
        if len(rows) >= FEW_POINTS and (cloud.schema is not None or "auto" not in (units, up)):
            found = find_frame(cloud.pos[rows], file_unit=cloud.unit, viewpoint=cloud.viewpoint)
            report.warnings += _contradictions(frame, found)
    report.facts += [("colors", color_range(cloud)), ("normals", "no" if cloud.normal is None else "yes")]
    report.facts += [("note", remark) for remark in cloud.remarks]
    if cloud.color is None:
        report.warnings.append("no color; models that use color need it")
    elif len(cloud.color) and cloud.color.min() == cloud.color.max():
        report.warnings.append(f"all color values are {cloud.color[0, 0]}")
    elif len(cloud.color) and cloud.color.max() < 64:
        report.warnings.append(f"the largest color value is {cloud.color.max()} of 255")
    return report


def summary(cloud: Cloud, frame: Frame) -> str:
    """Return in one line what is understood of a cloud."""
    normals = "no normals" if cloud.normal is None else "normals"
    return f"{len(cloud):,} points, {UNIT_NAMES[frame.unit]}, {frame.up} up, colors {color_range(cloud)}, {normals}"


def color_range(cloud: Cloud) -> str:
    """Return the smallest and the largest color value as text."""
    return "none" if cloud.color is None or not len(cloud) else f"{cloud.color.min()}..{cloud.color.max()}"


def count_duplicates(pos: np.ndarray) -> int:
    """Count the points with exactly the coordinates of another point before them."""
    order = np.lexsort(pos.T)
    same = np.ones(max(len(pos) - 1, 0), bool)
    for axis in pos.T:
        ordered = axis[order]
        same &= ordered[1:] == ordered[:-1]
    return int(np.count_nonzero(same))


def _add_positions(report: CloudReport, given: np.ndarray, frame: Frame) -> None:
    """Add the frame, extent, spacing and duplicates of finite positions, and what looks wrong with them."""
    pos = frame.apply(given)
    low, high = np.percentile(pos[:: max(1, len(pos) // 1_000_000)], (1, 99), axis=0)
    report.extent = tuple((high - low).tolist())
    size, distance, twice = max(report.extent), measure_spacing(pos), count_duplicates(given)
    strays = np.count_nonzero(find_strays(given))
    step = float(np.spacing(np.float32(np.abs(given).max()))) * METERS[frame.unit]
    is_single = bool((given[:10_000].astype(np.float32) == given[:10_000]).all())
    for remark in frame.remarks:
        name, _, text = remark.partition(": ")
        report.facts.append((name, text))  # a doubt is no warning: many sound clouds leave one
    report.facts += [
        ("extent", " x ".join(f"{side:.2f}" for side in report.extent) + " m"),
        ("spacing", f"{distance * 1000:.1f} mm"),
        ("duplicates", f"{twice:,}"),
    ]
    found = {
        f"extent of {size:.3g} m: check that the unit is {frame.unit!r}": not ROOM[0] <= size <= ROOM[1],
        f"{twice:,} points ({twice / len(pos):.1%}) are duplicates": twice > 0,
        f"{strays:,} points are far from all others": strays > 0,
        f"coordinates have steps of {step:.2g} m, because they are float32 far from 0": is_single
        and step > 0.002,
        f"spacing of {distance:.2g} m; models see voxels of 2 to 8 cm": distance > COARSE,
    }
    report.warnings += [text for text, holds in found.items() if holds]


def _contradictions(frame: Frame, found: Frame) -> list[str]:
    """Return warnings if given units and axes differ from what the points look like."""
    other_unit = METERS[found.unit] != METERS[frame.unit] and "units" not in found.unsure
    other_up = found.up != frame.up and "up" not in found.unsure and not found.one_view
    texts = [f"the unit looks like {found.unit}, not {frame.unit}"] if other_unit else []
    return texts + ([f"the up axis looks like {found.up}, not {frame.up}"] if other_up else [])


def _add_labels(report: CloudReport, cloud: Cloud, columns: Columns) -> None:
    """Add the classes in the column of the labels, and what looks wrong with it."""
    names = label_columns(columns)
    if not names:
        report.facts.append(("labels", "none"))
        return
    label, schema = columns[names[0]], None if cloud.schema is None else cloud.schema.names
    missing = np.isnan(label) if label.dtype.kind == "f" else label == ("" if label.dtype.kind == "U" else -1)
    values, counts = np.unique(label[~missing], return_counts=True)
    report.classes = {schema[int(v)] if schema else f"{v:g}" if label.dtype.kind in "fiu" else str(v): int(n)
                      for v, n in zip(values[:MOST_CLASSES], counts)}  # fmt: skip
    report.classes |= {"unlabeled": int(np.count_nonzero(missing))} if missing.any() else {}
    report.facts.append(("labels", f"column {names[0]!r} with {len(values)} values"))
    absent = [name for name in schema or () if name not in report.classes]
    report.facts += [("no points of", ", ".join(absent))] if absent else []
    others = ", ".join(map(repr, names[1:]))
    found = {
        f"labels are those of {names[0]!r}, not of {others}": bool(others),
        "all points are unlabeled": len(label) > 0 and not len(values),
        f"all points have the label {next(iter(report.classes))}": len(values) == 1 and bool(~missing.any()),
        f"{len(values):,} different labels look like numbers of objects": len(values) > MOST_CLASSES,
        "labels have fractions": label.dtype.kind == "f" and bool((values != np.rint(values)).any()),
        "every class has one color: is the file a prediction? A model would learn to read the colors": schema is None
        and cloud.color is not None
        and 1 < len(np.unique(cloud.color[:100_000], axis=0)) <= len(values),
    }  # fmt: skip
    report.warnings += [text for text, holds in found.items() if holds]


def _roles(columns: Columns) -> dict[str, str]:
    """Return the role of every column that is used."""
    roles = dict.fromkeys(label_columns(columns)[:1], "label")
    roles |= dict.fromkeys([name for name in INSTANCE_NAMES if name in columns][:1], "object")
    for role, triples in {
        "position": NAMES["pos"],
        "color": (*NAMES["color"], ("rgb",), ("rgba",)),
        "normal": NAMES["normal"],
    }.items():
        roles |= dict.fromkeys(next((names for names in triples if set(names) <= columns.keys()), ()), role)
    return roles


def _values(column: np.ndarray) -> str:
    """Return the type and the range of a column as text."""
    if column.dtype.kind not in "fiub":
        return f"{len(np.unique(column)):,} words"
    finite = column[np.isfinite(column)] if column.dtype.kind == "f" else column
    return f"{column.dtype}, {finite.min():.6g} to {finite.max():.6g}" if len(finite) else f"{column.dtype}"
