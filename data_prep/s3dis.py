"""S3DIS: ``python -m data_prep.s3dis RAW OUT`` converts the raw release, aligned or not, to prepared scenes.

Only ``Area_*/<room>/Annotations/<class>_<n>.txt`` is read: the file of the whole room has the same points
without labels, and more damaged lines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from data_prep.outputs import require_other_folder
from data_prep.parallel import NUM_PROCESSORS, Job, prepare_scenes
from data_prep.releases.release import fingerprint, names_of
from data_prep.releases.s3dis import (
    LAYOUT,
    QUIRKS,
    UNLABELED,
    RawRoom,
    class_name,
    find_rooms,
    is_aligned,
    missing_rooms,
    object_files,
    release_name,
    require_known_classes,
    with_angles,
)
from data_prep.releases.text_points import read_points
from data_prep.summary import print_lines, summarize
from pcseg.cli import run
from pcseg.data.manifest import Manifest, Repair, SceneEntry, describe_scene
from pcseg.data.normals import estimate_normals
from pcseg.data.scenes import write_scene
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX, S3DIS
from pcseg.values import Processes, checked

PREPARATION = 2
"""Part of every fingerprint; increased when this module changes the scenes that it writes."""


@checked("--")
def prepare(
    raw: Path,
    out: Path,
    *,
    areas: list[str] | str | None = None,
    workers: Processes = NUM_PROCESSORS,
    normals: bool = False,
    align: bool = False,
    classes: dict[str, str] | None = None,
) -> None:
    """Prepare S3DIS: write one HDF5 file per room and a manifest.

    An interrupted run resumes: rooms whose files are unchanged are skipped.

    Args:
        raw: Folder of the unpacked release, with Area_1 to Area_6.
        out: Folder of the prepared scenes; created if it does not exist.
        areas: Areas to prepare, such as Area_1,Area_5; default: all.
        workers: Number of processes; each holds one room in memory.
        normals: Estimate normals from the points.
        align: Rotate the rooms of the non-aligned release by their alignment angles.
        classes: Class of S3DIS, or ``unlabeled``, for other names in the files, such as '{lamp: clutter}'.

    Raises:
        UserError: The folder is not a release or has unknown classes, or at least one room failed; the other rooms
            are prepared.
    """
    console = Console()
    areas = None if areas is None else names_of(areas)
    rooms, remarks = find_rooms(raw, areas=areas)
    require_other_folder(raw, out)
    classes = {name.lower(): label for name, label in (classes or {}).items()}
    require_known_classes(raw, rooms, classes)
    aligned = is_aligned(rooms)
    release = release_name(raw, aligned=aligned)
    if align:
        if aligned:
            raise UserError(f"{raw}: is the aligned release already. Omit --align.")
        rooms, release = with_angles(raw, rooms), f"{release}, rotated"
    remarks += missing_rooms(raw, rooms, areas=areas)
    print_lines([f"warning: {line}" for line in remarks], console)
    jobs = make_jobs([replace(room, classes=classes) for room in rooms], out, normals=normals)
    empty = Manifest(dataset="s3dis", release=release, schema=S3DIS, scenes=())
    outcome = prepare_scenes(jobs, out, empty=empty, workers=workers, console=console)
    summarize(outcome, out, console, kind="rooms")


def make_jobs(rooms: Sequence[RawRoom], out: Path, *, normals: bool = False) -> list[Job]:
    """Create one job per room, with a fingerprint of its files."""
    jobs = []
    for room in rooms:
        options = f"{PREPARATION} {normals} {room.angle} {sorted(room.classes.items())}"
        source, size = fingerprint(options, object_files(room)[0])
        work = partial(prepare_room, room, out, source=source, normals=normals)
        jobs.append(Job(path=f"{room.label}.h5", source=source, size=size, work=work))
    return jobs


def prepare_room(room: RawRoom, out: Path, *, source: str, normals: bool = False) -> SceneEntry:
    """Read one room, write it, and return its manifest entry."""
    arrays, repairs, ignored = read_room(room)
    path = out / f"{room.label}.h5"
    normal = estimate_normals(arrays["pos"]) if normals else None
    write_scene(path, **arrays, normal=normal, dataset="s3dis", scene=room.name, schema=S3DIS)
    return replace(describe_scene(path, folder=out, source=source), repairs=repairs, ignored=ignored)


def read_room(
    room: RawRoom,
) -> tuple[dict[str, np.ndarray], tuple[Repair, ...], tuple[str, ...]]:
    """Return the arrays of a room as in :class:`pcseg.data.scenes.Scene`, repaired lines and skipped files.

    Objects are in the sorted order of their files.

    Raises:
        UserError: No annotations, fewer than two points, a line that cannot be repaired, or a color outside 0..255.

    Convention:
        Instances are numbered in the order of their files. ``stairs``, also spelled ``staris`` in the release,
        become clutter. Files not named ``<class>_<n>.txt`` are skipped, such as ``wall_3 (1).txt``, a copy of
        ``wall_3.txt``.
    """
    files, ignored = object_files(room)
    if not files:
        raise UserError(f"{room.label}: has no Annotations/<class>_<n>.txt. {LAYOUT}")
    tables, repairs = [], []
    for file in files:
        name = f"{room.label}/Annotations/{file.name}"
        points, repaired = read_points(
            file, name=name, dtype=np.float32 if room.angle is None else np.float64
        )
        _check_colors(points, name)
        tables.append(points)
        repairs += repaired
    sizes = [len(points) for points in tables]
    table = np.concatenate(tables)
    if len(table) < 2:
        raise UserError(f"{room.label}: has a single point. Download the room again.")
    pos = table[:, :3] if room.angle is None else _rotate(table[:, :3], room.angle)
    labels = np.array([_label(file, room.classes) for file in files], np.int16)
    arrays = {
        "pos": np.ascontiguousarray(pos, np.float32),
        "color": np.rint(table[:, 3:]).astype(np.uint8),
        "label": np.repeat(labels, sizes),
        "instance": np.repeat(np.arange(len(files), dtype=np.int32), sizes),
    }
    return arrays, tuple(repairs), tuple(f"{room.label}/Annotations/{name}" for name in ignored)


def _label(file: Path, classes: Mapping[str, str]) -> int:
    name = class_name(file)
    name = (QUIRKS | dict(classes)).get(name, name)
    return IGNORE_INDEX if name == UNLABELED else S3DIS.names.index(name)


def _check_colors(points: np.ndarray, name: str) -> None:
    color = points[:, 3:]
    if color.min() < 0 or color.max() > 255:
        row = int(np.flatnonzero(((color < 0) | (color > 255)).any(axis=1))[0])
        raise UserError(
            f"{name}: color of point {row + 1} is {color[row].tolist()}, expected 0..255. Download it again."
        )


def _rotate(pos: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate float64 positions by -``degrees`` about the vertical axis through the center of the bounding box."""
    middle = (pos.max(axis=0) + pos.min(axis=0)) / 2
    angle = (2 - degrees / 180) * np.pi
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return (pos - middle) @ turn.T + middle


if __name__ == "__main__":
    run(prepare)
