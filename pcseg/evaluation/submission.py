"""Submissions to the ScanNet benchmark: one text file a scan with the id of every vertex, checked and zipped."""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pcseg.data.manifest import MANIFEST_NAME, Manifest, SceneEntry
from pcseg.data.predictions import SavedPrediction, read_prediction
from pcseg.data.schemas import Benchmark, benchmark_of
from pcseg.errors import UserError
from pcseg.evaluation.points import entries_in, evaluate
from pcseg.files import atomic_path, write_json

OFFICIAL = {
    "val": (312, None),
    "test": (100, tuple(f"scene{space:04d}_00" for space in range(707, 807))),
}
"""Number and names of the scans of a split; the names of the validation split are not kept here."""

UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)
"""What reading a damaged, encrypted or exotic archive raises."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A checked archive.

    Args:
        archive: The file to hand in.
        scans, points: How much it predicts.
        classes: 20 or 200.
        checkpoint: Hash of the model; empty if only the archive was checked.
    """

    archive: Path
    scans: int
    points: int
    classes: int
    checkpoint: str


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
) -> Submission:
    """Write and check a submission to the ScanNet benchmark: a zip archive of one text file a scan.

    Beside ``out.zip`` comes ``out.json``, which says what it was made of.

    Args:
        out: The archive, such as submissions/scannet.zip.
        root: Prepared folder of ScanNet.
        ckpt: Checkpoint to predict with; predictions are kept in a folder called as the archive, so that a run
            that was stopped goes on.
        predictions: Folder with predictions of one model in place of a checkpoint, as written by evaluate.py
            in predictions/<checkpoint>/<protocol>.
        split: The scans to hand in.
        tta: Predict with test-time augmentation, which takes 13 times as long.
        check: Only check the archive OUT against the prepared folder.
        device: Where the model runs: auto, cpu, cuda.
        progress_bar: Show progress and time left.

    Raises:
        UserError: Classes of no benchmark, scans that are missing, predictions that do not fit the scans, or an
            archive that the benchmark would refuse.
    """
    if out.suffix != ".zip":
        raise UserError(f"--out {out}: give the name of the archive, such as {out.with_suffix('.zip')}")
    if check + (ckpt is not None) + (predictions is not None) != 1:
        raise UserError("give one of --ckpt, --predictions and --check")
    manifest = Manifest.read(root)
    benchmark = benchmark_of(manifest.schema, source=str(root / MANIFEST_NAME))
    entries = entries_in(manifest, [split], root=root)
    require_complete(manifest, entries, split, root=root)
    counts = {entry.name: entry.num_points for entry in entries}
    checkpoint = ""
    if not check:
        stamp: dict[str, Any] = {}
        if ckpt is not None:
            work = out.with_suffix("")
            report = evaluate(
                ckpt=ckpt, out=work, root=root, splits=[split], tta=tta, boundary=0, device=device,
                progress_bar=progress_bar,
            )  # fmt: skip
            stamp = report.protocol
            predictions = work / "predictions" / stamp["checkpoint"] / stamp["predictions"]
        assert predictions is not None
        checkpoint = write_archive(out, predictions, entries, manifest=manifest, benchmark=benchmark)
        note = {"dataset": manifest.dataset, "release": manifest.release, "split": split, "scans": len(counts),
                "checkpoint": checkpoint, **stamp}  # fmt: skip
        write_json(out.with_suffix(".json"), note)
    else:
        check_archive(out, counts, benchmark)
    return Submission(
        archive=out,
        scans=len(counts),
        points=sum(counts.values()),
        classes=len(benchmark.ids),
        checkpoint=checkpoint,
    )


def require_complete(manifest: Manifest, entries: tuple[SceneEntry, ...], split: str, *, root: Path) -> None:
    """Raise :class:`UserError` if the release is ScanNet and scans of the split are missing or too many."""
    if not manifest.release.startswith("ScanNet"):
        return
    names = {entry.name for entry in entries}
    number, official = OFFICIAL[split]
    wrong = sorted(names ^ set(official)) if official else []
    if wrong or len(names) != number:
        such = f", they differ in {wrong[0]}" if wrong else ""
        raise UserError(
            f"{root} has {len(names)} {split} scans, the benchmark {number}{such}; prepare all of them"
        )


def write_archive(
    out: Path,
    predictions: Path,
    entries: tuple[SceneEntry, ...],
    *,
    manifest: Manifest,
    benchmark: Benchmark,
) -> str:
    """Write the archive of the predictions of ``entries``, in one step; returns the hash of their checkpoint.

    Convention:
        The same predictions give the same bytes: files have no time.
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
                f"{predictions}: predictions of several checkpoints ({', '.join(sorted(checkpoints))}); give "
                "the folder of one"
            )
        check_archive(temporary, {entry.name: entry.num_points for entry in entries}, benchmark)
    return next(iter(checkpoints))


def find_one(predictions: Path, entry: SceneEntry) -> Path:
    """The only prediction of a scan under a folder.

    Raises:
        UserError: There is none, or more than one: nobody could say which was handed in.
    """
    found = sorted(predictions.rglob(f"{entry.name}.npz"))
    if not found:
        raise UserError(
            f"{predictions}: no {entry.name}.npz; predict the whole split with scripts/evaluate.py"
        )
    if len(found) > 1:
        raise UserError(
            f"{predictions}: {len(found)} predictions of {entry.name}, such as {found[0].parent.parent} and "
            f"{found[1].parent.parent}; give one of these folders"
        )
    return found[0]


def require_fit(saved: SavedPrediction, entry: SceneEntry, manifest: Manifest, path: Path) -> None:
    """Raise :class:`UserError` unless a prediction has the data's classes and one of them for every vertex."""
    saved.schema.require_same(manifest.schema, this=str(path), that=f"the data ({manifest.dataset})")
    if len(saved.label) != entry.num_points:
        raise UserError(
            f"{path}: {len(saved.label)} points, {entry.name} has {entry.num_points} vertices; predict again"
        )
    nothing = int((saved.label < 0).sum())
    if nothing:
        raise UserError(
            f"{path}: {nothing} vertices have no class, the benchmark wants one for each; predict again"
        )


def check_archive(archive: Path, counts: Mapping[str, int], benchmark: Benchmark) -> None:
    """Raise :class:`UserError` unless the benchmark would take the archive.

    Args:
        archive: The file.
        counts: Vertices of every scan that must be in it, and no other.
        benchmark: Knows the ids.
    """
    try:
        with zipfile.ZipFile(archive) as files:
            names = files.namelist()
            _check_names(archive, names, counts)
            for scan, count in counts.items():
                _check_lines(f"{archive}/{scan}.txt", files.read(f"{scan}.txt"), count, benchmark)
    except FileNotFoundError:
        raise UserError(f"{archive}: no such archive") from None
    except UNREADABLE as error:
        raise UserError(f"{archive}: not a readable zip archive ({error}); write it again") from error


def _check_names(archive: Path, names: list[str], counts: Mapping[str, int]) -> None:
    inside = [name for name in names if "/" in name or "\\" in name]
    if inside:
        raise UserError(f"{archive}: {inside[0]} lies in a folder; files must be at the root of the archive")
    expected = {f"{scan}.txt" for scan in counts}
    for wrong, what in (
        (expected - set(names), "is missing"),
        (set(names) - expected, "is no scan of the split"),
    ):
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise UserError(f"{archive}: {min(wrong)} {what}{more}")
    if len(names) > len(expected):
        raise UserError(f"{archive}: holds a file twice; write it again")


def _check_lines(name: str, text: bytes, count: int, benchmark: Benchmark) -> None:
    lines = text.splitlines()
    if len(lines) != count:
        raise UserError(f"{name}: {len(lines)} lines, the scan has {count} vertices")
    known = {b"%d" % number for number in benchmark.ids}
    strange = {line for line in set(lines) if line.strip() not in known}
    if strange:
        row = next(row for row, line in enumerate(lines, 1) if line in strange)
        raise UserError(
            f"{name} line {row}: {lines[row - 1][:40]!r} is none of the {len(known)} ids of the benchmark; "
            f"they are {benchmark.column}s, not labels"
        )
