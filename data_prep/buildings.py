"""Generated scans of many sensors: ``python -m data_prep.buildings OUT`` writes labeled clouds of homes and offices.

Unlike ``data_prep.rooms``, which imitates one release, rooms, furniture, materials and sensors vary as widely as in
the scans of others. The clouds are PLY files with one column per label set, and OUT has one description per set, so
that ``pcseg prepare folder OUT/indoor.yaml DATA`` prepares them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveInt
from rich.console import Console

from data_prep.indoor.alterations import ALTERATIONS, alter
from data_prep.indoor.building import Choice, build
from data_prep.indoor.families import FAMILIES
from data_prep.indoor.furniture import FURNITURE
from data_prep.indoor.materials import MATERIALS
from data_prep.indoor.sensors import SENSORS, scan
from data_prep.parallel import NUM_PROCESSORS
from data_prep.summary import class_table
from data_prep.synthetic.generating import each_room, open_folder, write_text
from pcseg.cli import run
from pcseg.data.indoor import INDOOR, LABEL_SETS, LabelSet, from_indoor
from pcseg.data.io.columns import Columns
from pcseg.data.io.ply import write_ply
from pcseg.errors import UserError
from pcseg.files import output_folder

GENERATOR = 2
"""Increased when the generator changes the scans of the same settings."""

GROUPS = {
    "rooms": tuple(FAMILIES),
    "furniture": tuple(FURNITURE),
    "materials": tuple(MATERIALS),
    "sensors": tuple(SENSORS),
    "alterations": tuple(ALTERATIONS),
}
"""Names of all families by group."""

SIZES = ((1, 1), (2, 1), (3, 1), (5, 1), (4, 2))
"""Rooms per storey and storeys of a building."""

SIZE_SHARES = (0.6, 0.13, 0.1, 0.09, 0.08)


@dataclass(frozen=True, kw_only=True)
class ScanPlan:
    """One scan to generate: its file in the data set, seed, sensor, rooms per storey and storeys, alterations."""

    path: Path
    seed: int
    sensor: str
    size: tuple[int, int]
    alterations: tuple[str, ...]


def generate(
    out: Path,
    *,
    train: NonNegativeInt = 100,  # pyright: ignore[reportInvalidTypeForm]
    val: NonNegativeInt = 10,  # pyright: ignore[reportInvalidTypeForm]
    test: NonNegativeInt = 10,  # pyright: ignore[reportInvalidTypeForm]
    seed: NonNegativeInt = 0,  # pyright: ignore[reportInvalidTypeForm]
    points: PositiveInt = 200_000,  # pyright: ignore[reportInvalidTypeForm]
    spacing: NonNegativeFloat = 0.0,  # pyright: ignore[reportInvalidTypeForm]
    workers: PositiveInt = NUM_PROCESSORS,  # pyright: ignore[reportInvalidTypeForm]
    hold_out: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
) -> None:
    """Write generated, labeled scans of rooms and buildings, with a description per label set.

    An interrupted run resumes. The same seed gives the same bytes for any number of workers, and more scans do not
    change earlier ones. Between processor types the last digits can differ.

    Args:
        out: Folder for train, val, test and the descriptions; created if it does not exist.
        train: Number of scans for training; 0 for none.
        val: Number of scans for validation.
        test: Number of scans for testing.
        seed: Random seed.
        points: Largest number of points per room; a scan with more is cut to the surroundings of one point.
        spacing: Smallest distance between neighbors in meters; 0.02 is enough for voxels of 0.05.
        workers: Number of processes.
        hold_out: Rooms, furniture, materials, sensors and alterations that do not occur, by name.
        only: Names that alone of their group occur; default: all.

    Raises:
        UserError: An unknown name, a group without names, or a folder that is not writable or has other scans.
    """
    names = choose(hold_out, only)
    settings = {"generator": GENERATOR, "seed": seed, "points": points, "spacing": spacing, "names": names}
    numbers = {"train": train, "val": val, "test": test}
    plans = [plan_scan(seed, split, k, names) for split, number in numbers.items() for k in range(number)]
    choice = Choice(rooms=names["rooms"], furniture=names["furniture"], materials=names["materials"])
    with output_folder(out, wait=True):
        open_folder(out / "buildings.json", settings, kind="scans")
        splits = [split for split, number in numbers.items() if number or any((out / split).glob("*.ply"))]
        for label_set in LABEL_SETS:
            write_text(out / f"{label_set}.yaml", describe(label_set, splits))
        todo = [plan for plan in plans if not (out / plan.path).is_file()]
        make = partial(make_scan, out, choice=choice, points=points, spacing=spacing)
        counts = sum(
            each_room(make, todo, workers=workers, doing="Scanning buildings"), np.zeros(1, np.int64)
        )
    console = Console()
    if todo:
        console.print(class_table(INDOOR, {"points": counts}, counts.sum()))
    done = len(plans) - len(todo)
    console.print(f"{out}: {len(todo)} scans written, {done} already complete", soft_wrap=True)


def choose(hold_out: Collection[str] = (), only: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return the names of every group that remain.

    Raises:
        UserError: A name is unknown, or a group that every scan needs has no names.
    """
    known = [name for group in GROUPS.values() for name in group]
    for option, names in (("--hold_out", hold_out), ("--only", only)):
        for name in names:
            if name not in known:
                raise UserError(f"{option}: unknown name {name!r}. Choose from {', '.join(known)}.")
    left = {}
    for group, names in GROUPS.items():
        wanted = [name for name in names if name in only] or names
        left[group] = tuple(name for name in wanted if name not in hold_out)
        if not left[group] and group != "alterations":
            raise UserError(f"--hold_out: leaves no {group}. Keep at least one of {', '.join(names)}.")
    return left


def plan_scan(seed: int, split: str, index: int, names: dict[str, tuple[str, ...]]) -> ScanPlan:
    """Plan a scan; more scans never change earlier ones."""
    source = np.random.SeedSequence([seed, ("train", "val", "test").index(split), index])
    rng = np.random.default_rng(source)
    sensor = str(rng.choice(list(names["sensors"])))
    size = SIZES[rng.choice(len(SIZES), p=SIZE_SHARES)]
    altered = tuple(name for name in names["alterations"] if rng.random() < ALTERATIONS[name])
    path = Path(split) / f"scan_{index:05d}_{sensor}.ply"
    return ScanPlan(
        path=path, seed=int(source.generate_state(1)[0]), sensor=sensor, size=size, alterations=altered
    )


def make_scan(
    out: Path, plan: ScanPlan, *, choice: Choice, points: int, spacing: float = 0.0, threads: int = 0
) -> np.ndarray:
    """Build, scan and write one scan; return the number of points per class ``(K,)``."""
    columns = scan_columns(plan, choice=choice, points=points, spacing=spacing, threads=threads)
    (out / plan.path).parent.mkdir(exist_ok=True)
    write_ply(out / plan.path, columns)
    return np.bincount(columns["indoor"] + 1, minlength=INDOOR.num_classes + 1)[1:]


def scan_columns(
    plan: ScanPlan, *, choice: Choice, points: int, spacing: float = 0.0, threads: int = 0
) -> Columns:
    """Return the columns of a scan: position, color if it has one, object, and the label in every label set."""
    rooms, storeys = plan.size
    scene = build(plan.seed, choice, rooms=rooms, storeys=storeys)
    most = points * len(scene.spots)
    cloud = scan(scene, SENSORS[plan.sensor], seed=plan.seed, points=most, spacing=spacing, threads=threads)
    cloud = alter(cloud, scene, plan.alterations, np.random.default_rng([plan.seed, 1]))
    columns: Columns = {axis: cloud.pos[:, k].astype(np.float32) for k, axis in enumerate("xyz")}
    if cloud.color is not None:
        columns |= {name: cloud.color[:, k] for k, name in enumerate(("red", "green", "blue"))}
    columns["instance"] = cloud.instance.astype(np.int32)
    names: Sequence[str] = scene.model.labels
    label = np.array([*(INDOOR.names.index(name) for name in names), -1], np.int16)[cloud.instance]
    return columns | {name: from_indoor(name)[label] for name in LABEL_SETS}


def describe(label_set: LabelSet, splits: Sequence[str]) -> str:
    """Return the description of the splits in one label set, as ``pcseg prepare folder`` reads it."""
    lines = [
        f"name: generated_{label_set}",
        "root: .",
        "units: m",
        "up: z",
        f"fields: {{label: {label_set}}}",
    ]
    lines += ["split:", *(f"  {split}: ['{split}/*.ply']" for split in splits)]
    lines += ["names:", *(f"  {k}: {name}" for k, name in enumerate(LABEL_SETS[label_set].names))]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(generate)
