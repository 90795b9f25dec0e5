"""Check data before training: your own scans, a prepared folder, or an image data set."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from data_prep.image_check import check_split
from data_prep.own.check import FileCheck, check_folder, check_prepared, check_splits, split_counts
from data_prep.own.files import find_clouds
from data_prep.own.spec import read_spec
from data_prep.summary import by_kind, class_table, print_lines
from pcseg.data.alignment import Units, Up
from pcseg.data.images.readers import IMAGE_READERS, ImageSet
from pcseg.data.inspect_cloud import CloudReport, inspect_file
from pcseg.data.manifest import MANIFEST_NAME, Manifest, verified_scene
from pcseg.errors import UserError
from pcseg.labels import LabelSchema
from pcseg.values import NameList, PositiveInt, Processes, checked


@checked("--")
def check(
    data: list[Path],
    *,
    images: ImageSet | None = None,
    splits: NameList | str | None = None,
    limit: PositiveInt | None = None,
    workers: Processes = 1,
    units: Units = "auto",
    up: Up = "auto",
    columns: str | None = None,
    verify: bool = False,
) -> list[str]:
    """Check scans or data for training: print what is understood and what looks wrong.

    Of scans, columns and their roles, units, axes, extent, spacing, colors, labels, NaN and duplicates are printed. Of
    data for training, every file is checked, and a histogram of the classes is printed. Of images, every image and
    label file is read.

    Args:
        data: Scans, a YAML description of your own data, a prepared folder, or the folder of an image data set.
        images: Kind of an image data set.
        splits: One split of the image data set, or a list; default: all.
        limit: Number of images that are read per split, evenly spread; default: all.
        workers: Number of processes that read images.
        units: Unit of a scan.
        up: Axis of a scan that points up.
        columns: Names of all columns of a scan in order, such as x,y,z,red,green,blue,label; - ignores a column.
        verify: Only compare the scenes of prepared folders with the checksums in their manifests.

    Raises:
        UserError: A file cannot be used; the others are checked first.
    """
    if images is not None and len(data) > 1:
        raise UserError(f"{data[1]}: --images checks one folder. Check the other one by itself.")
    if images is not None:
        return check_images(data[0], images, splits=splits, limit=limit, workers=workers)
    if splits is not None or limit is not None:
        raise UserError("--splits, --limit: options of image data sets. Give --images too.")
    lines, unreadable = [], []
    for path in data:
        try:
            if path.is_dir() or path.suffix.lower() in (".yaml", ".yml"):
                lines += verify_folder(path) if verify else check_data(path)
            else:
                lines.append(print_report(inspect_file(path, units=units, up=up, columns=columns)))
        except UserError as error:
            if len(data) == 1:
                raise
            unreadable.append(path)
            print_lines([f"error: {error}"], Console())
    if unreadable:
        print_lines(lines, Console())
        raise UserError(
            f"{unreadable[0]}: {len(unreadable)} of {len(data)} paths cannot be used. See the lines above."
        )
    return lines


def print_report(report: CloudReport) -> str:
    """Print what is understood of a cloud, and return the conclusion."""
    console = Console(width=120)
    for header, rows in (
        ((f"{report.source}", "understood as"), report.facts),
        (("column", "used as", "type and values"), report.columns),
        (("label", "points"), [(name, f"{count:,}") for name, count in report.classes.items()]),
    ):
        table = Table(*header)
        for row in rows:
            table.add_row(*map(escape, row))
        if rows:
            console.print(table)
    print_lines([f"warning: {report.source.name}: {text}" for text in report.warnings], console)
    return conclusion(report.source, 1, len(report.warnings))


def verify_folder(root: Path) -> list[str]:
    """Compare every scene of a prepared folder with its checksum; raise :class:`UserError` if one differs."""
    manifest = Manifest.read(root)
    damaged = []
    for entry in track(manifest.scenes, "Verifying", console=Console(stderr=True)):
        try:
            verified_scene(root, entry, manifest.schema)
        except UserError as error:
            damaged.append(str(error))
    print_lines([f"error: {text}" for text in damaged], Console())
    if damaged:
        raise UserError(
            f"{root}: {len(damaged)} of {len(manifest.scenes)} scenes are damaged. See the lines above."
        )
    return [f"{root}: all {len(manifest.scenes)} scenes have the content that was prepared"]


def check_data(data: Path) -> list[str]:
    """Check a prepared folder or the files of a description.

    Raises:
        UserError: A file cannot be used.
    """
    if data.is_dir():
        if not (data / MANIFEST_NAME).is_file():
            raise UserError(
                f"{data}: no {MANIFEST_NAME} in it. For an image data set, give --images. For scans, give the files."
            )
        manifest = Manifest.read(data)
        return check_files(data, manifest.schema, check_prepared(data, manifest))
    spec = read_spec(data)
    files, remarks = find_clouds(spec)
    return check_files(data, spec.schema, check_folder(spec, files), remarks)


def check_files(
    data: Path, schema: LabelSchema, found: Iterator[FileCheck], remarks: Sequence[str] = ()
) -> list[str]:
    """Print problems as files are checked, then tables of files and classes; return the conclusion.

    Raises:
        UserError: A file cannot be used.
    """
    console = Console(width=120)
    checks = []
    for check in found:
        checks.append(check)
        problems = [("error", text) for text in check.errors] + [("warning", text) for text in check.warnings]
        lines = [
            f"{kind}: {'' if check.name in text else f'{check.name}: '}{text}" for kind, text in problems
        ]
        print_lines(lines, console)
    overall = [*remarks, *check_splits(checks, schema)]
    print_lines([f"warning: {text}" for text in overall], console)
    print_lines(by_kind((check.name, remark) for check in checks for remark in check.remarks), console)
    console.print(file_table(checks))
    counts = split_counts(checks, schema)
    columns = {f"points in {split}": found for split, found in counts.items()}
    console.print(class_table(schema, columns, sum(found.sum() for found in counts.values())))
    bad = [check for check in checks if check.errors]
    if bad:
        raise UserError(
            f"{data}: {len(bad)} of {len(checks)} files cannot be used. The errors are listed above."
        )
    return [conclusion(data, len(checks), sum(len(check.warnings) for check in checks) + len(overall))]


def conclusion(data: Path, files: int, warnings: int) -> str:
    """Return the line that closes a report without errors."""
    number = "1 file" if files == 1 else f"{files} files"
    problems = f"{warnings} warnings, listed above" if warnings else "no problems found"
    return f"{data}: {number} checked, {problems}."


def file_table(checks: list[FileCheck]) -> Table:
    """Return a table of the points, size, colors and unlabeled share of every file."""
    table = Table("file", "split", "points", "size in m", "colors", "unlabeled")
    for check in checks:
        size = " x ".join(f"{s:.1f}" for s in check.extent) if check.extent else "-"
        color = f"{check.color[0]}..{check.color[1]}" if check.color else "-"
        share = f"{check.unlabeled / check.points:.1%}" if check.points else "-"
        table.add_row(check.name, check.split, f"{check.points:,}", size, color, share)
    return table


def check_images(
    root: Path, images: ImageSet, *, splits: list[str] | str | None, limit: int | None, workers: int
) -> list[str]:
    """Read the images and labels of a data set; return a report of every split.

    Raises:
        UserError: An image cannot be used; the message holds the report.
    """
    reader = IMAGE_READERS[images](root)
    chosen = [splits] if isinstance(splits, str) else list(splits or reader.splits)
    if not chosen:
        raise UserError(f"{root}: no split found. {reader.dataset} has {reader.layout}.")
    lines, errors = [], 0
    for split in chosen:
        found = check_split(reader, split, limit=limit, workers=workers)
        errors += len(found.problems)
        lines.append(f"{split}: {found.images:,} images, {found.read:,} read, {len(found.problems):,} errors")
        lines += [f"  {problem}" for problem in found.problems[:20]]
        lines += [f"  and {len(found.problems) - 20:,} more"] if len(found.problems) > 20 else []
        lines += [f"  {remark}" for remark in found.remarks]
    if errors:
        print("\n".join(lines))
        raise UserError(f"{root}: {errors:,} images cannot be used. The errors are listed above.")
    return lines
