"""Prepare your own data: ``python -m data_prep.folder YAML OUT`` converts labeled clouds to prepared scenes."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from data_prep.outputs import require_other_folder
from data_prep.own.files import find_clouds, scene_name
from data_prep.own.spec import FolderSpec, read_spec
from data_prep.parallel import NUM_PROCESSORS, Job, prepare_scenes
from data_prep.releases.release import fingerprint
from data_prep.summary import print_lines, summarize
from pcseg.cli import run
from pcseg.data.io.clouds import Cloud, cloud_frame, from_table, read_table
from pcseg.data.io.colors import MISSING
from pcseg.data.io.columns import label_columns
from pcseg.data.manifest import Manifest, SceneEntry, describe_scene
from pcseg.data.normals import estimate_normals
from pcseg.data.scenes import write_scene
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX
from pcseg.values import Processes, checked

PREPARATION = 2
"""Part of every fingerprint; increased when this module changes the scenes that it writes."""


@checked("--")
def prepare(
    description: Path,
    out: Path,
    *,
    workers: Processes = NUM_PROCESSORS,
    normals: bool = False,
) -> None:
    """Prepare your own labeled clouds: write one HDF5 file per cloud and a manifest.

    An interrupted run resumes: unchanged files are skipped. Scenes whose file no longer exists, or is now in
    another split, are removed from the manifest.

    Args:
        description: YAML with root, split, names, colors, ignore, columns, fields, units and up; see docs/own_data.md.
        out: Folder of the prepared scenes; created if it does not exist.
        workers: Number of processes; each holds one file in memory.
        normals: Estimate normals for files without normals.

    Raises:
        UserError: The description is invalid, or at least one file failed; the other files are prepared.
    """
    spec = read_spec(description)
    require_other_folder(spec.root, out)
    console = Console()
    files, remarks = find_clouds(spec)
    print_lines([f"warning: {line}" for line in remarks], console)
    jobs = make_jobs(spec, files, out, normals=normals)
    empty = Manifest(dataset=spec.name, release=f"own data {spec.name}", schema=spec.schema, scenes=())
    outcome = prepare_scenes(
        jobs, out, empty=empty, workers=workers, console=console, stays=lambda entry: False
    )
    summarize(outcome, out, console, kind="files")


def make_jobs(spec: FolderSpec, files: Mapping[Path, str], out: Path, *, normals: bool = False) -> list[Job]:
    """Create one job per file, with a fingerprint of the file and the description.

    Raises:
        UserError: Two files of a split have the same scene name.
    """
    jobs: dict[str, Job] = {}
    for file, split in files.items():
        path = f"{split}/{scene_name(spec, file)}.h5"
        if path in jobs:
            raise UserError(f"{file}: another file has the scene name {path}. Rename one of them.")
        source, size = fingerprint(f"{PREPARATION} {normals} {spec.fingerprint()}", [file])
        work = partial(prepare_cloud, spec, file, out, path, source=source, normals=normals)
        jobs[path] = Job(path=path, source=source, size=size, work=work)
    return list(jobs.values())


def prepare_cloud(
    spec: FolderSpec, file: Path, out: Path, path: str, *, source: str, normals: bool = False
) -> SceneEntry:
    """Read one file, write its scene, and return the manifest entry; points without a position are dropped.

    Raises:
        UserError: The file cannot be read, or has no points, no labels, or an unknown label.
    """
    cloud, label, instance = read_labeled(spec, file)
    rows = np.flatnonzero(cloud.finite)
    if not len(rows):
        raise UserError(f"{file}: all coordinates are NaN. Remove the file.")
    frame = cloud_frame(cloud, rows, units=spec.units, up=spec.up)
    pos = frame.apply(cloud.pos[rows])
    if cloud.normal is not None:
        normal = frame.rotate(cloud.normal[rows])
    else:
        normal = estimate_normals(pos) if normals else None
    write_scene(
        out / path,
        pos=pos,
        color=np.full((len(rows), 3), MISSING, np.uint8) if cloud.color is None else cloud.color[rows],
        label=label[rows],
        instance=instance[rows],
        normal=normal,
        dataset=spec.name,
        scene=Path(path).stem,
        schema=spec.schema,
    )
    lost = len(cloud) - len(rows)
    ignored = (f"{file.name}: {lost} points without a position",) if lost else ()
    auto = "auto" in (spec.units, spec.up)
    remarks = (*cloud.remarks, *(frame.remarks if auto else ()))
    entry = describe_scene(out / path, folder=out, source=source)
    return replace(entry, ignored=ignored, remarks=remarks)


def read_labeled(spec: FolderSpec, file: Path) -> tuple[Cloud, np.ndarray, np.ndarray]:
    """Return a cloud in the units and axes of its file, its classes ``(N,)`` int16 and objects ``(N,)`` int32.

    Raises:
        UserError: The file cannot be read, or has no label column, or an unknown label.
    """
    table = read_table(file, columns=spec.columns)
    columns = spec.renamed(table.columns, source=file)
    remarks, guesses = table.remarks, label_columns(table.columns)
    if len(guesses) > 1 and "label" not in spec.fields:
        remarks += (f"labels: column {guesses[0]!r} is used, not {', '.join(map(repr, guesses[1:]))}",)
    if "label" in columns:
        label = columns["label"]
        missing = int(np.count_nonzero(np.isnan(label) if label.dtype.kind == "f" else label == ""))
        remarks += (f"labels: {missing:,} points have none (NaN)",) if missing else ()
    cloud = from_table(replace(table, columns=columns, remarks=remarks), file)
    if "label" not in columns:
        raise UserError(
            f"{file}: no label column (columns: {', '.join(table.columns)}). Set fields.label in {spec.path}."
        )
    label = spec.label_table(columns["label"], source=file)
    if "instance" in columns:
        return cloud, label, object_numbers(columns["instance"])
    return cloud, label, np.full(len(cloud), IGNORE_INDEX, np.int32)


def object_numbers(instance: np.ndarray) -> np.ndarray:
    """Renumber objects from 0 in the order of their ids or names; negative and missing ids become -1, no object."""
    present, inverse = np.unique(instance, return_inverse=True)
    real = (
        present != "" if present.dtype.kind == "U" else ~(present < 0) & ~np.isnan(present.astype(np.float64))
    )
    numbers = np.where(real, np.cumsum(real) - 1, IGNORE_INDEX)
    return numbers[inverse.reshape(-1)].astype(np.int32)


if __name__ == "__main__":
    run(prepare)
