"""Own data: ``python -m data_prep.folder YAML OUT`` turns a folder of labelled clouds into prepared scenes."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jsonargparse.typing import PositiveInt
from rich.console import Console

from data_prep.own.spec import FolderSpec, find_clouds, read_spec, scene_name
from data_prep.parallel import NUM_PROCESSORS, Job, prepare_scenes, summarise
from data_prep.releases.release import fingerprint
from pcseg.cli import run
from pcseg.data.alignment import find_frame
from pcseg.data.io.clouds import Cloud, from_columns, read_columns
from pcseg.data.manifest import Manifest, SceneEntry, describe_scene
from pcseg.data.normals import estimate_normals
from pcseg.data.scenes import read_scene, write_scene
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX

PREPARATION = 1
"""Part of every fingerprint; raised when this module makes other scenes of the same files."""

GREY = 127
"""Colour of clouds without one."""


@dataclass(frozen=True, kw_only=True)
class LabelledCloud:
    """A cloud with the classes of a description.

    Args:
        cloud: The points as the file has them.
        label: Classes ``(N,)`` int16.
        instance: Objects ``(N,)`` int32, -1 for none.
    """

    cloud: Cloud
    label: np.ndarray
    instance: np.ndarray


def prepare(
    description: Path,
    out: Path,
    *,
    workers: PositiveInt = NUM_PROCESSORS,  # pyright: ignore[reportInvalidTypeForm]
    normals: bool = False,
) -> None:
    """Prepare own data: one HDF5 file a cloud and a manifest.

    A run that was stopped goes on where it was: files that have not changed are skipped. Scenes of files that are
    gone, or in another split now, are no longer part of the data.

    Args:
        description: YAML with root, split, names, colors, ignore, fields, units and up; see docs/own_data.md.
        out: Folder of the prepared scenes; made if need be.
        workers: Files worked on at a time; each needs the memory of one.
        normals: Estimate normals from the points where a file has none.

    Raises:
        UserError: The description is wrong, or at least one file failed; the others are prepared.
    """
    spec = read_spec(description)
    console = Console()
    jobs = make_jobs(spec, out, normals=normals)
    empty = Manifest(dataset=spec.name, release=f"own data {spec.name}", schema=spec.schema, scenes=())
    outcome = prepare_scenes(
        jobs, out, empty=empty, workers=workers, console=console, stays=lambda entry: False
    )
    summarise(outcome, out, console, kind="files")


def make_jobs(spec: FolderSpec, out: Path, *, normals: bool = False) -> list[Job]:
    """One job a file, with a fingerprint of the file and of the description.

    Raises:
        UserError: Two files of a split would become one scene.
    """
    jobs: dict[str, Job] = {}
    for file, split in find_clouds(spec).items():
        path = f"{split}/{scene_name(spec, file)}.h5"
        if path in jobs:
            raise UserError(f"{file}: another file is scene {path} already; rename one of them")
        source, size = fingerprint(f"{PREPARATION} {normals} {spec.fingerprint()}", [file])
        work = partial(prepare_cloud, spec, file, out, path, source=source, normals=normals)
        jobs[path] = Job(path=path, source=source, size=size, work=work)
    return list(jobs.values())


def prepare_cloud(
    spec: FolderSpec, file: Path, out: Path, path: str, *, source: str, normals: bool = False
) -> SceneEntry:
    """Read, write and describe one file; points without a position are left out and said.

    Raises:
        UserError: The file cannot be read, holds no points, no label or an unknown one.
    """
    labelled = read_labelled(spec, file)
    cloud, rows = labelled.cloud, np.flatnonzero(labelled.cloud.finite)
    if not len(rows):
        raise UserError(f"{file}: holds no points with a position; remove the file")
    frame = find_frame(cloud.pos[rows], units=spec.units, up=spec.up)
    pos = frame.apply(cloud.pos[rows])
    if cloud.normal is not None:
        normal = frame.rotate(cloud.normal[rows])
    else:
        normal = estimate_normals(pos) if normals else None
    write_scene(
        out / path,
        pos=pos,
        color=np.full((len(rows), 3), GREY, np.uint8) if cloud.color is None else cloud.color[rows],
        label=labelled.label[rows],
        instance=labelled.instance[rows],
        normal=normal,
        dataset=spec.name,
        scene=Path(path).stem,
        schema=spec.schema,
    )
    lost = len(cloud) - len(rows)
    ignored = (f"{file.name}: {lost} points without a position",) if lost else ()
    return describe_scene(read_scene(out / path), folder=out, source=source, ignored=ignored)


def read_labelled(spec: FolderSpec, file: Path) -> LabelledCloud:
    """A file of a description with its classes.

    Raises:
        UserError: The file cannot be read, or has no column of labels, or an unknown label.
    """
    given = read_columns(file)
    columns = spec.renamed(given, source=file)
    cloud = from_columns(columns, file)
    if "label" not in columns:
        raise UserError(
            f"{file}: no column of labels (it has {', '.join(given)}); name it by fields.label in {spec.path}"
        )
    instance = columns.get("instance")
    return LabelledCloud(
        cloud=cloud,
        label=spec.label_table(columns["label"], source=file),
        instance=np.full(len(cloud), IGNORE_INDEX, np.int32)
        if instance is None
        else object_numbers(instance),
    )


def object_numbers(instance: np.ndarray) -> np.ndarray:
    """Objects numbered from 0 in the order of their numbers in the file; negative ones are none, -1."""
    present, inverse = np.unique(instance, return_inverse=True)
    real = ~(present < 0) & ~np.isnan(present.astype(np.float64))
    numbers = np.where(real, np.cumsum(real) - 1, IGNORE_INDEX)
    return numbers[inverse.reshape(-1)].astype(np.int32)


if __name__ == "__main__":
    run(prepare)
