"""Submit to the ScanNet benchmark: the command ``pcseg submit-scannet``.

A submission is a zip archive of one text file per scan, with the id of every vertex.
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from pcseg.data.manifest import MANIFEST_NAME, Manifest, SceneEntry
from pcseg.data.predictions import read_prediction
from pcseg.data.schemas import Benchmark, benchmark_of
from pcseg.errors import UserError
from pcseg.evaluation.evaluate import evaluate
from pcseg.evaluation.points import entries_in
from pcseg.files import atomic_path, write_json

OFFICIAL = {"val": (312, None), "test": (100, tuple(f"scene{space:04d}_00" for space in range(707, 807)))}
"""Number of scans and, for the test split, names of the scans of the benchmark."""

UNREADABLE = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, OSError, RuntimeError)
"""Errors of reading a damaged, encrypted or unsupported archive."""


def submit(
    *,
    out: Path,
    root: Path,
    ckpt: Path | None = None,
    split: Literal["test", "val"] = "test",
    tta: bool = False,
    check: bool = False,
    device: str = "auto",
    progress_bar: bool = True,
) -> str:
    """Write and check a submission to the ScanNet benchmark: a zip archive with one text file per scan.

    The provenance record is written beside the archive, as ``.json``.

    Args:
        out: The archive, such as submissions/scannet.zip.
        root: Prepared folder of ScanNet.
        ckpt: Checkpoint to predict with. Predictions are stored in a folder named like the archive, so that an
            interrupted run resumes.
        split: Split to submit.
        tta: Predict with test-time augmentation, which takes 13 times as long.
        check: Only check the archive OUT against the prepared folder.
        device: ``auto``, ``cpu``, ``cuda``, or one of several GPUs such as ``cuda:1``.
        progress_bar: Show progress and remaining time.

    Raises:
        UserError: The classes are not those of a benchmark, scans are missing, or the benchmark would reject the
            archive.
    """
    if out.suffix != ".zip":
        raise UserError(f"--out {out}: not an archive. Give a name such as {out.with_suffix('.zip')}.")
    if check == (ckpt is not None):
        raise UserError("--ckpt, --check: give exactly one of them.")
    manifest = Manifest.read(root)
    benchmark = benchmark_of(manifest.schema, source=str(root / MANIFEST_NAME))
    entries = entries_in(manifest, [split], root=root)
    require_complete(manifest, entries, split, root=root)
    if ckpt is not None:
        work = out.with_suffix("")
        record = evaluate(
            ckpt=ckpt, out=work, root=root, splits=[split], protocol="scannet", tta=tta, boundary=0, device=device,
            progress_bar=progress_bar,
        ).provenance  # fmt: skip
        predictions = work / "predictions" / record["checkpoint"] / record["predictions"]
        write_archive(out, predictions, entries, benchmark)
        write_json(out.with_suffix(".json"), record)
    else:
        check_archive(out, entries, benchmark)
    vertices = sum(entry.num_points for entry in entries)
    return (
        f"{out}: {len(entries)} scans, {vertices:,} vertices, {len(benchmark.ids)} classes. Names, counts and ids are "
        "correct."
    )


def require_complete(manifest: Manifest, entries: tuple[SceneEntry, ...], split: str, *, root: Path) -> None:
    """Raise :class:`UserError` if the release is ScanNet and scans of the split are missing or superfluous."""
    if not manifest.release.startswith("ScanNet"):
        return
    names = {entry.name for entry in entries}
    number, official = OFFICIAL[split]
    wrong = sorted(names ^ set(official)) if official else []
    if wrong or len(names) != number:
        example = f", for example {wrong[0]} differs" if wrong else ""
        raise UserError(
            f"{root}: has {len(names)} {split} scans, but the benchmark has {number}{example}. Prepare all of them."
        )


def write_archive(
    out: Path, predictions: Path, entries: tuple[SceneEntry, ...], benchmark: Benchmark
) -> None:
    """Write the archive of the stored predictions of ``entries``.

    Raises:
        UserError: A prediction is missing or does not fit its scan, or the benchmark would reject the archive.

    Convention:
        The same predictions give the same bytes: files have no modification time.
    """
    lines = np.array([b"%d\n" % number for number in benchmark.ids])
    with atomic_path(out) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for entry in entries:
                path = predictions / entry.split / f"{entry.name}.npz"
                label = read_prediction(path).label
                if (label < 0).any():
                    raise UserError(
                        f"{path}: {(label < 0).sum()} vertices have no class, but the benchmark requires one for "
                        "each. Predict again."
                    )
                info = zipfile.ZipInfo(f"{entry.name}.txt")
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(info, lines[label].tobytes().translate(None, b"\0"))
        check_archive(temporary, entries, benchmark)


def check_archive(archive: Path, entries: Sequence[SceneEntry], benchmark: Benchmark) -> None:
    """Raise :class:`UserError` if the benchmark would reject the archive of the scans ``entries``."""
    try:
        with zipfile.ZipFile(archive) as files:
            _check_names(archive, files.namelist(), {f"{entry.name}.txt" for entry in entries})
            for entry in entries:
                name = f"{entry.name}.txt"
                _check_lines(f"{archive}/{name}", files.read(name), entry.num_points, benchmark)
    except FileNotFoundError:
        raise UserError(f"{archive}: no such archive. Write it first.") from None
    except UNREADABLE as error:
        raise UserError(f"{archive}: not a readable zip archive ({error}). Write it again.") from error


def _check_names(archive: Path, names: list[str], expected: set[str]) -> None:
    nested = [name for name in names if "/" in name or "\\" in name]
    if nested:
        raise UserError(f"{archive}: {nested[0]} is in a folder. Put all files at the root of the archive.")
    for wrong, problem in (
        (expected - set(names), "is missing"),
        (set(names) - expected, "is not a scan of the split"),
    ):
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise UserError(f"{archive}: {min(wrong)} {problem}{more}. Write it again.")
    if len(names) > len(expected):
        raise UserError(f"{archive}: contains a file twice. Write it again.")


def _check_lines(name: str, text: bytes, count: int, benchmark: Benchmark) -> None:
    lines = text.splitlines()
    if len(lines) != count:
        raise UserError(f"{name}: {len(lines)} lines, but the scan has {count} vertices. Write it again.")
    known = {b"%d" % number for number in benchmark.ids}
    unknown = {line for line in set(lines) if line.strip() not in known}
    if unknown:
        row = next(row for row, line in enumerate(lines, 1) if line in unknown)
        raise UserError(
            f"{name} line {row}: {lines[row - 1][:40]!r} is not one of the {len(known)} ids of the benchmark. Write "
            f"the {benchmark.column} of each class, not its label."
        )
