"""ScanNet v2: ``python -m data_prep.scannet RAW OUT`` converts the raw release to prepared scenes.

The vertices of ``<scan>_vh_clean_2.ply`` become the points, in their order, so that predictions can be
submitted unchanged. The recordings in ``.sens`` files are not needed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console

from data_prep.outputs import require_other_folder
from data_prep.parallel import NUM_PROCESSORS, Job, prepare_scenes
from data_prep.releases.release import fingerprint, names_of
from data_prep.releases.scannet import (
    LABEL_TABLE,
    SPLITS,
    Category,
    RawScan,
    find_scans,
    read_alignment,
    read_label_table,
    release_name,
)
from data_prep.releases.scannet_annotation import read_annotation
from data_prep.releases.scannet_mesh import read_mesh, vertex_normals
from data_prep.summary import print_lines, summarize
from pcseg.cli import run
from pcseg.data.manifest import Manifest, SceneEntry, describe_scene
from pcseg.data.scenes import write_scene
from pcseg.data.schemas import SCANNET20_BENCHMARK, SCANNET200_BENCHMARK, Benchmark
from pcseg.errors import UserError
from pcseg.values import Processes, checked

PREPARATION = 1
"""Part of every fingerprint; increased when this module changes the scenes that it writes."""

BENCHMARKS: Mapping[int, Benchmark] = {20: SCANNET20_BENCHMARK, 200: SCANNET200_BENCHMARK}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of :func:`prepare` that a prepared scan depends on."""

    classes: Literal[20, 200] = 20
    align: bool = False
    normals: bool = True

    @property
    def benchmark(self) -> Benchmark:
        return BENCHMARKS[self.classes]

    @property
    def dataset(self) -> str:
        return "scannet" if self.classes == 20 else "scannet200"


@checked("--")
def prepare(
    raw: Path,
    out: Path,
    *,
    classes: Literal[20, 200] = 20,
    splits: list[str] | str | None = None,
    lists: Path | None = None,
    workers: Processes = NUM_PROCESSORS,
    normals: bool = True,
    align: bool = False,
) -> None:
    """Prepare ScanNet v2: write one HDF5 file per scan and a manifest.

    An interrupted run resumes: scans whose files are unchanged are skipped. Scans that the lists now assign to
    another split, or to none, are removed from their old split.

    Args:
        raw: Folder of the release, with scans, scans_test and scannetv2-labels.combined.tsv.
        out: Folder of the prepared scenes, train, val and test; created if it does not exist.
        classes: 20 for the ScanNet benchmark, 200 for ScanNet200.
        splits: Splits to prepare, such as train,val; default: train, val and test.
        lists: Folder of scannetv2_train.txt, scannetv2_val.txt and scannetv2_test.txt; default: RAW if it has
            them, otherwise the official splits.
        workers: Number of processes; each holds one scan in memory.
        normals: Keep the normals of the mesh.
        align: Rotate scans by their axisAlignment, which scans of the test split do not have.

    Raises:
        UserError: The folder is not a release, or at least one scan failed; the other scans are prepared.
    """
    console = Console()
    options = Options(classes=classes, align=align, normals=normals)
    scans, remarks = find_scans(raw, lists=lists)
    require_other_folder(raw, out)
    stays = partial(is_in_split, raw, {scan.name: scan.split for scan in scans})
    if splits is not None:
        wanted = names_of(splits)
        unknown = [split for split in wanted if split not in SPLITS]
        if unknown:
            raise UserError(f"--splits {unknown[0]!r}: unknown split. Choose from {', '.join(SPLITS)}.")
        scans = [scan for scan in scans if scan.split in wanted]
        if not scans:
            raise UserError(
                f"{raw}: has no scans of the split {' or '.join(wanted)}. Check --splits and the split lists."
            )
    print_lines([f"warning: {line}" for line in remarks], console)
    annotated = any(scan.split != "test" for scan in scans)
    table = read_label_table(raw / LABEL_TABLE) if annotated else {}
    jobs = make_jobs(scans, out, table=table, options=options)
    release = release_name(raw) + (", axis-aligned" if align else "")
    empty = Manifest(dataset=options.dataset, release=release, schema=options.benchmark.schema, scenes=())
    outcome = prepare_scenes(jobs, out, empty=empty, workers=workers, console=console, stays=stays)
    summarize(outcome, out, console, kind="scans")


def is_in_split(raw: Path, splits: Mapping[str, str], entry: SceneEntry) -> bool:
    """Return whether a prepared scan still belongs to its split; scans that are no longer in ``raw`` do."""
    is_there = any((raw / parent / entry.name).is_dir() for parent in ("scans", "scans_test"))
    return not is_there or splits.get(entry.name) == entry.split


def make_jobs(
    scans: Sequence[RawScan], out: Path, *, table: Mapping[str, Category], options: Options
) -> list[Job]:
    """Create one job per scan, with a fingerprint of its files.

    Convention:
        The fingerprint includes the categories: with another label table, scans are prepared again.
    """
    categories = sorted((raw, category.id, category.nyu40id) for raw, category in table.items())
    common = hashlib.sha256(f"{PREPARATION} {options} {categories}".encode()).hexdigest()
    jobs = []
    for scan in scans:
        files = [*scan.files, *([scan.info] if options.align else [])]
        source, size = fingerprint(common, [file for file in files if file.is_file()])
        work = partial(prepare_scan, scan, out, source=source, table=table, options=options)
        jobs.append(Job(path=f"{scan.split}/{scan.name}.h5", source=source, size=size, work=work))
    return jobs


def prepare_scan(
    scan: RawScan, out: Path, *, source: str, table: Mapping[str, Category], options: Options
) -> SceneEntry:
    """Read one scan, write it, and return its manifest entry."""
    path = out / scan.split / f"{scan.name}.h5"
    arrays, ignored = read_scan(scan, table=table, options=options)
    schema = options.benchmark.schema
    write_scene(path, **arrays, dataset=options.dataset, scene=scan.name, schema=schema)
    space = scan.name[: scan.name.index("_")]  # of scene<space>_<visit>
    return replace(describe_scene(path, folder=out, source=source), space=space, ignored=ignored)


def read_scan(
    scan: RawScan, *, table: Mapping[str, Category], options: Options
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return the arrays of a scan as in :class:`pcseg.data.scenes.Scene`, and remarks about skipped labels.

    Raises:
        UserError: A missing or damaged file, files that do not match each other, or an unknown category.

    Convention:
        Instances are the ids of the objects, -1 for none. Vertices of other classes, and all vertices of test
        scans, are unlabeled. With ``align``, a scan without ``axisAlignment`` is not rotated.
    """
    vertices, faces = read_mesh(scan.mesh, name=f"{scan.name}/{scan.mesh.name}")
    if not len(vertices):
        raise UserError(f"{scan.name}/{scan.mesh.name}: no vertices. Download the scan again.")
    pos = np.stack([vertices[axis] for axis in "xyz"], axis=1).astype(np.float32, copy=False)
    if not np.isfinite(pos).all():
        row = int(np.flatnonzero(~np.isfinite(pos).all(axis=1))[0])
        raise UserError(
            f"{scan.name}/{scan.mesh.name}: vertex {row} is at {pos[row].tolist()}. Download it again."
        )
    matrix = read_alignment(scan.info) if options.align else None
    if matrix is not None:
        pos = (pos.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)
    nothing = np.full(len(pos), -1, np.int32)
    label, instance, ignored = nothing.astype(np.int16), nothing, ()
    if scan.split != "test":
        label, instance, ignored = read_annotation(scan, len(pos), table=table, benchmark=options.benchmark)
    color = np.stack([vertices[channel] for channel in ("red", "green", "blue")], axis=1)
    arrays = {"pos": pos, "color": color, "label": label, "instance": instance}
    return arrays | ({"normal": vertex_normals(pos, faces)} if options.normals else {}), ignored


if __name__ == "__main__":
    run(prepare)
