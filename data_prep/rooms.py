"""Generated rooms: ``python -m data_prep.rooms OUT`` writes a scanned building in the raw S3DIS or ScanNet layout.

There is no room in it that anybody ever saw, and results on it are results on generated rooms. It stands in
for the real release, which cannot be shipped: same files, same classes, and on demand the same damage.
"""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jsonargparse.typing import NonNegativeInt, PositiveInt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from data_prep.parallel import NUM_PROCESSORS
from data_prep.synthetic.damage import KINDS, damage_room
from data_prep.synthetic.generating import each_room, open_folder, write_text
from data_prep.synthetic.plan import RoomPlan, plan_area, quarter_turn
from data_prep.synthetic.raw import write_room
from pcseg.cli import run
from pcseg.errors import UserError
from pcseg.labels import S3DIS

if TYPE_CHECKING:
    from data_prep.synthetic.model import RoomModel

SETTINGS = "rooms.json"
"""In the folder of a building: what its rooms were made with."""

GENERATOR = 2
"""Raised when the generator makes other rooms of the same settings."""

LEAST_POINTS = 1000

SCANNET_SPLITS = {5: "val", 6: "test"}
"""Split of the areas in the layout of ScanNet; the others are for training."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the bytes of a room depend on besides its place in the building."""

    generator: int = GENERATOR
    seed: int
    points: int
    layout: str
    yaw: int | None
    damage: bool

    def turn(self, area: int) -> int:
        """Degrees by which an area is turned."""
        if self.yaw is not None:
            return self.yaw
        return 0 if self.layout == "aligned" else quarter_turn(self.seed, area)


def generate(
    out: Path,
    *,
    areas: PositiveInt = 6,  # pyright: ignore[reportInvalidTypeForm]
    rooms: PositiveInt = 4,  # pyright: ignore[reportInvalidTypeForm]
    seed: NonNegativeInt = 0,  # pyright: ignore[reportInvalidTypeForm]
    points: PositiveInt = 400_000,  # pyright: ignore[reportInvalidTypeForm]
    workers: PositiveInt = NUM_PROCESSORS,  # pyright: ignore[reportInvalidTypeForm]
    layout: Literal["aligned", "nonaligned", "scannet"] = "aligned",
    yaw: int | None = None,
    damage: bool = False,
) -> None:
    """Write a building of generated, scanned rooms in the raw layout of S3DIS or ScanNet.

    A run that was stopped goes on where it was: rooms that are complete are skipped. The same seed gives the
    same bytes, whatever the number of workers, and more rooms or areas leave the ones before as they are. On
    another kind of processor last digits can differ, and with them the hash of the prepared rooms.

    Args:
        out: Folder to write Area_1, Area_2 ... into; made if need be.
        areas: Number of areas.
        rooms: Number of rooms in each area; from 4 on, an area holds all 13 classes.
        seed: Another seed gives another building.
        points: Points of each room.
        workers: Rooms worked on at a time.
        layout: aligned has 3 decimals; nonaligned has 6, turned areas and a file with their angles; scannet
            has meshes, where area 5 is the validation split, area 6 the test split and the others training.
        yaw: Degrees by which each area is turned; by default 0, a quarter turn of its own if nonaligned, and
            any angle for each scan if scannet.
        damage: Damage some files in the ways in which files of the real release are damaged.

    Raises:
        UserError: The folder cannot be used or holds rooms that were made with other settings.
    """
    if points < LEAST_POINTS:
        raise UserError(f"--points {points}: give at least {LEAST_POINTS}")
    if layout == "scannet" and (damage or areas > 99 or rooms > 100):
        raise UserError("--layout scannet: leave out --damage, and give at most 99 areas of 100 rooms")
    console = Console()
    settings = Settings(seed=seed, points=points, layout=layout, yaw=yaw, damage=damage)
    open_folder(out / SETTINGS, asdict(settings), kind="rooms")
    plans = [plan_area(seed, area, rooms) for area in range(1, areas + 1)]
    if layout == "nonaligned":
        for area in plans:
            _write_angles(out, area, settings)
    if layout == "scannet":
        _write_lists(out, [plan for area in plans for plan in area])
    todo = [plan for area in plans for plan in area if not _room_folder(out, plan, layout).is_dir()]
    counts: Counter[str] = Counter()
    made = each_room(partial(make_room, out, settings=settings), todo, workers=workers)
    for count in track(made, "Scanning rooms", total=len(todo), console=console, auto_refresh=False):
        counts += count
    if todo:
        console.print(_histogram(counts))
    console.print(
        f"{out}: {len(todo)} rooms written, {areas * rooms - len(todo)} already there", soft_wrap=True
    )


def read_settings(raw: Path) -> Settings:
    """What the rooms in ``raw`` were made with.

    Raises:
        UserError: ``raw`` holds no generated rooms, or those of another generator.
    """
    note = raw / SETTINGS
    if not note.is_file():
        raise UserError(f"{note}: not there; {raw} holds no generated rooms, make them with data_prep.rooms")
    try:
        settings = Settings(**json.loads(note.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{note}: damaged ({error}); make the rooms again") from error
    if settings.generator != GENERATOR:
        raise UserError(
            f"{note}: rooms of generator {settings.generator}, this one is {GENERATOR}; make the rooms again"
        )
    return settings


def _write_angles(out: Path, plans: Sequence[RoomPlan], settings: Settings) -> None:
    area = plans[0].area
    lines = [f"## alignment angle per room of Area_{area} ##", "## room, degrees ##"]
    lines += [f"{plan.name} {settings.turn(area)}" for plan in plans]
    folder = out / f"Area_{area}"
    folder.mkdir(exist_ok=True)
    write_text(folder / f"Area_{area}_alignmentAngle.txt", "\n".join(lines) + "\n")


def _write_lists(out: Path, plans: Sequence[RoomPlan]) -> None:
    """The split lists and the table of labels that come with ScanNet."""
    from data_prep.synthetic.scannet_raw import label_table

    for split in ("train", "val", "test"):
        names = [scan_name(plan) for plan in plans if SCANNET_SPLITS.get(plan.area, "train") == split]
        write_text(out / f"scannetv2_{split}.txt", "".join(f"{name}\n" for name in names))
    write_text(out / "scannetv2-labels.combined.tsv", label_table())


def make_room(out: Path, plan: RoomPlan, *, settings: Settings, threads: int = 0) -> Counter[str]:
    """Build, scan and write one room; its folder appears when it is complete.

    Args:
        out: Folder of the building.
        plan: Which room.
        settings: How it is scanned and written.
        threads: Of the ray caster, 0: all cores.

    Returns:
        Points of each class.
    """
    from data_prep.synthetic.room_types import build_room

    model = build_room(plan.build_seed, plan.room_type)
    folder = _room_folder(out, plan, settings.layout)
    # a folder of its own, so that what writes into it may call its files after it
    hidden = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(hidden, ignore_errors=True)
    write = _write_scannet if settings.layout == "scannet" else _write_s3dis
    instance = write(hidden / folder.name, model, plan, settings, threads)
    (hidden / folder.name).rename(folder)
    hidden.rmdir()
    sizes = np.bincount(instance, minlength=len(model.labels)).tolist()
    counts: Counter[str] = Counter()
    for label, size in zip(model.labels, sizes):
        counts[label] += size
    return counts


def _write_s3dis(
    folder: Path, model: "RoomModel", plan: RoomPlan, settings: Settings, threads: int
) -> np.ndarray:
    """Scan a room into a new folder in the layout of S3DIS; returns the instance of each point."""
    from data_prep.synthetic.scanner import scan_room

    scan = scan_room(model, points=settings.points, seed=plan.scan_seed, threads=threads)
    turn = np.radians(settings.turn(plan.area))
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    pos = (scan.pos + plan.offset) @ rotation.T
    decimals = 3 if settings.layout == "aligned" else 6
    write_room(folder, plan.name, pos, scan.color, scan.instance, model.labels, decimals=decimals)
    if settings.damage and plan.index < KINDS:
        damage_room(folder, plan.name, (plan.area - 1 + plan.index) % KINDS)
    return scan.instance


def _write_scannet(
    folder: Path, model: "RoomModel", plan: RoomPlan, settings: Settings, threads: int
) -> np.ndarray:
    """Scan a room into a new folder in the layout of ScanNet; returns the instance of each vertex."""
    from data_prep.synthetic.meshing import mesh_sweeps
    from data_prep.synthetic.scanner import sweep_room
    from data_prep.synthetic.scannet_raw import write_scan, write_test_scan

    mesh = mesh_sweeps(sweep_room(model, points=settings.points, seed=plan.scan_seed, threads=threads))
    degrees = plan.scan_seed % 360 if settings.yaw is None else settings.yaw
    if SCANNET_SPLITS.get(plan.area) == "test":
        write_test_scan(folder, mesh, yaw=np.radians(degrees))
    else:
        write_scan(folder, mesh, model.labels, yaw=np.radians(degrees), seed=plan.scan_seed)
    return mesh.instance


def scan_name(plan: RoomPlan) -> str:
    """What ScanNet would call the scan: two digits of the area, two of the room, first visit."""
    return f"scene{plan.area:02d}{plan.index:02d}_00"


def _room_folder(out: Path, plan: RoomPlan, layout: str) -> Path:
    if layout == "scannet":
        parent = "scans_test" if SCANNET_SPLITS.get(plan.area) == "test" else "scans"
        return out / parent / scan_name(plan)
    return out / f"Area_{plan.area}" / plan.name


def _histogram(counts: Counter[str]) -> Table:
    table = Table("class", "points", "share")
    for name in S3DIS.names:
        table.add_row(name, f"{counts[name]:,}", f"{counts[name] / counts.total():.1%}")
    return table


if __name__ == "__main__":
    run(generate)
