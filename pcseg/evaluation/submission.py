"""Submit to the ScanNet benchmark: the command ``pcseg submit-scannet``.

A submission is a zip archive of one text file per scan, with the id of every vertex.
"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pcseg.data.manifest import MANIFEST_NAME, Manifest, SceneEntry
from pcseg.data.predictions import SavedPrediction, read_prediction
from pcseg.data.schemas import Benchmark, benchmark_of
from pcseg.errors import UserError
from pcseg.evaluation.evaluate import evaluate
from pcseg.evaluation.points import entries_in
from pcseg.files import atomic_path, write_json

OFFICIAL = {
    "val": (312, None),
    "test": (100, tuple(f"scene{space:04d}_00" for space in range(707, 807))),
}
"""Number of scans and, for the test split, names of the scans of the benchmark."""

UNREADABLE = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, OSError, RuntimeError)
"""Errors of reading a damaged, encrypted or unsupported archive."""


def submit(
    *,
    out: Path,
    root: Path,
    ckpt: Path | None = None,
    predictions: Path | None = None,
    split: Literal["test", "val"] = "test",
    tta: bool = False,
    check: bool = False,
    device: str = "auto",
    progress_bar: bool = True,
) -> str:
    """Write and check a submission to the ScanNet benchmark: a zip archive with one text file per scan.

    The provenance record is written beside the archive, as ``.json``. Returns one line for the user.

    Args:
        out: The archive, such as submissions/scannet.zip.
        root: Prepared folder of ScanNet.
        ckpt: Checkpoint to predict with. Predictions are stored in a folder named like the archive, so that an
            interrupted run resumes.
        predictions: Folder with the predictions of one model instead of a checkpoint, as written by
            ``pcseg evaluate`` in predictions/<checkpoint>/<hash>.
        split: Split to submit.
        tta: Predict with test-time augmentation, which takes 13 times as long.
        check: Only check the archive OUT against the prepared folder.
        device: ``auto``, ``cpu``, ``cuda``, or one of several GPUs such as ``cuda:1``.
        progress_bar: Show progress and remaining time.

    Raises:
        UserError: The classes are not those of a benchmark, scans are missing, predictions do not fit the scans, or
            the benchmark would reject the archive.
    """
    if out.suffix != ".zip":
        raise UserError(f"--out {out}: not an archive. Give a name such as {out.with_suffix('.zip')}.")
    if check + (ckpt is not None) + (predictions is not None) != 1:
        raise UserError("--ckpt, --predictions, --check: give exactly one of them.")
    manifest = Manifest.read(root)
    benchmark = benchmark_of(manifest.schema, source=str(root / MANIFEST_NAME))
    entries = entries_in(manifest, [split], root=root)
    require_complete(manifest, entries, split, root=root)
    counts = {entry.name: entry.num_points for entry in entries}
    checkpoint = ""
    if check:
        check_archive(out, counts, benchmark)
    else:
        record: dict[str, Any] = {}
        if ckpt is not None:
            work = out.with_suffix("")
            report = evaluate(
                ckpt=ckpt, out=work, root=root, splits=[split], protocol="scannet", tta=tta, boundary=0, device=device,
                progress_bar=progress_bar,
            )  # fmt: skip
            record = report.provenance
            predictions = work / "predictions" / record["checkpoint"] / record["predictions"]
        assert predictions is not None
        checkpoint = write_archive(out, predictions, entries, manifest=manifest, benchmark=benchmark)
        about = {
            "dataset": manifest.dataset,
            "release": manifest.release,
            "split": split,
            "scans": len(counts),
        }
        write_json(out.with_suffix(".json"), {**about, "checkpoint": checkpoint, **record})
    model = f" of checkpoint {checkpoint}" if checkpoint else ""
    return (
        f"{out}: {len(counts)} scans, {sum(counts.values()):,} vertices, {len(benchmark.ids)} classes{model}. Names, "
        "counts and ids are correct."
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
    out: Path,
    predictions: Path,
    entries: tuple[SceneEntry, ...],
    *,
    manifest: Manifest,
    benchmark: Benchmark,
) -> str:
    """Write the archive of the predictions of ``entries`` and return the hash of their checkpoint.

    Convention:
        The same predictions give the same bytes: files have no modification time.
    """
    lines = np.array([b"%d\n" % number for number in benchmark.ids])
    checkpoints: dict[str, str] = {}
    with atomic_path(out) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for entry in entries:
                path = find_one(predictions, entry)
                saved = read_prediction(path)
                require_fit(saved, entry, manifest, path)
                checkpoints[saved.checkpoint] = entry.name
                text = lines[saved.label].tobytes().translate(None, b"\0")
                info = zipfile.ZipInfo(f"{entry.name}.txt")
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(info, text)
        if len(checkpoints) > 1:
            raise UserError(
                f"{predictions}: predictions of several checkpoints ({', '.join(sorted(checkpoints))}). Give the "
                "folder of one."
            )
        check_archive(temporary, {entry.name: entry.num_points for entry in entries}, benchmark)
    return next(iter(checkpoints))


def find_one(predictions: Path, entry: SceneEntry) -> Path:
    """Return the only prediction of a scan under a folder.

    Raises:
        UserError: There is none, or more than one.
    """
    found = sorted(predictions.rglob(f"{entry.name}.npz"))
    if not found:
        raise UserError(f"{predictions}: no {entry.name}.npz. Predict the whole split with 'pcseg evaluate'.")
    if len(found) > 1:
        raise UserError(
            f"{predictions}: {len(found)} predictions of {entry.name}, such as {found[0].parent.parent} and "
            f"{found[1].parent.parent}. Give one of these folders."
        )
    return found[0]


def require_fit(saved: SavedPrediction, entry: SceneEntry, manifest: Manifest, path: Path) -> None:
    """Raise :class:`UserError` unless a prediction has the classes of the data and a class for every vertex."""
    saved.schema.require_same(manifest.schema, this=str(path), that=f"the data ({manifest.dataset})")
    if len(saved.label) != entry.num_points:
        raise UserError(
            f"{path}: {len(saved.label)} points, but {entry.name} has {entry.num_points} vertices. Predict again."
        )
    missing = int((saved.label < 0).sum())
    if missing:
        raise UserError(
            f"{path}: {missing} vertices have no class, but the benchmark requires one for each. Predict again."
        )


def check_archive(archive: Path, counts: Mapping[str, int], benchmark: Benchmark) -> None:
    """Raise :class:`UserError` if the benchmark would reject the archive.

    Args:
        archive: The file.
        counts: Number of vertices of every scan that must be in it; no other scan may be.
        benchmark: Defines the ids.
    """
    try:
        with zipfile.ZipFile(archive) as files:
            _check_names(archive, files.namelist(), counts)
            for scan, count in counts.items():
                _check_lines(f"{archive}/{scan}.txt", files.read(f"{scan}.txt"), count, benchmark)
    except FileNotFoundError:
        raise UserError(f"{archive}: no such archive. Write it first.") from None
    except UNREADABLE as error:
        raise UserError(f"{archive}: not a readable zip archive ({error}). Write it again.") from error


def _check_names(archive: Path, names: list[str], counts: Mapping[str, int]) -> None:
    nested = [name for name in names if "/" in name or "\\" in name]
    if nested:
        raise UserError(f"{archive}: {nested[0]} is in a folder. Put all files at the root of the archive.")
    expected = {f"{scan}.txt" for scan in counts}
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
