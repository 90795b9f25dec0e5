"""Generated rooms: ``python -m data_prep.rooms OUT`` writes a scanned building in the raw S3DIS or ScanNet layout.

The rooms are synthetic, and results on them are results on generated rooms. They replace the real release, which
cannot be shipped: the files and classes are the same, and ``--damage`` adds the same defects.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from rich.console import Console

from data_prep.parallel import NUM_PROCESSORS
from data_prep.summary import class_table
from data_prep.synthetic.damage import KINDS, damage_room
from data_prep.synthetic.generating import each_room, open_folder, write_text
from data_prep.synthetic.plan import RoomPlan, plan_area, quarter_turn
from data_prep.synthetic.raw import write_room
from pcseg.cli import run
from pcseg.errors import UserError
from pcseg.files import output_folder
from pcseg.labels import S3DIS
from pcseg.values import Few, PositiveInt, Processes, Seed, checked

if TYPE_CHECKING:
    from data_prep.synthetic.model import RoomModel

SETTINGS = "rooms.json"
"""File in the folder of a building with the settings of its rooms."""

GENERATOR = 2
"""Increased when the generator changes the rooms of the same settings."""

LEAST_POINTS = 1000

SCANNET_SPLITS = {5: "val", 6: "test"}
"""Split of areas in the ScanNet layout; the other areas are for training."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings that the bytes of a room depend on, besides its position in the building."""

    generator: int = GENERATOR
    seed: int
    points: int
    layout: str
    yaw: int | None
    damage: bool

    def turn(self, area: int) -> int:
        """Return the rotation of an area in degrees."""
        if self.yaw is not None:
            return self.yaw
        return 0 if self.layout == "aligned" else quarter_turn(self.seed, area)


@checked("--")
def generate(
    out: Path,
    *,
    areas: Few = 6,
    rooms: Few = 4,
    seed: Seed = 0,
    points: PositiveInt = 400_000,
    workers: Processes = NUM_PROCESSORS,
    layout: Literal["aligned", "nonaligned", "scannet"] = "aligned",
    yaw: int | None = None,
    damage: bool = False,
) -> None:
    """Write a building of generated, scanned rooms in the raw layout of S3DIS or ScanNet.

    An interrupted run resumes: complete rooms are skipped. The same seed gives the same bytes for any number of
    workers, and adding rooms or areas does not change earlier ones. Between processor types the last digits, and
    therefore the hash of the prepared rooms, can differ.

    Args:
        out: Folder for Area_1, Area_2, …; created if it does not exist.
        areas: Number of areas.
        rooms: Number of rooms per area; an area with at least 4 rooms has all 13 classes.
        seed: Random seed of the building.
        points: Number of points per room.
        workers: Number of processes.
        layout: aligned has 3 decimals; nonaligned has 6, rotated areas and a file with their angles; scannet
            has meshes, with area 5 for validation, area 6 for testing and the others for training.
        yaw: Rotation of each area in degrees; default: 0 for aligned, a multiple of 90 per area for nonaligned, a
            random angle per scan for scannet.
        damage: Damage some files in the same ways as in the real release.

    Raises:
        UserError: The folder is not writable, or holds rooms with other settings.
    """
    if points < LEAST_POINTS:
        raise UserError(f"--points {points}: too few points. Use at least {LEAST_POINTS}.")
    if layout == "scannet" and (damage or areas > 99 or rooms > 100):
        raise UserError(
            "--layout scannet: supports at most 99 areas of 100 rooms and no --damage. Change these options."
        )
    settings = Settings(seed=seed, points=points, layout=layout, yaw=yaw, damage=damage)
    with output_folder(out, wait=True):
        open_folder(out / SETTINGS, asdict(settings), kind="rooms")
        plans = [plan_area(seed, area, rooms) for area in range(1, areas + 1)]
        if layout == "nonaligned":
            for area in plans:
                _write_angles(out, area, settings)
        if layout == "scannet":
            _write_lists(out, [plan for area in plans for plan in area])
        todo = [plan for area in plans for plan in area if not _room_folder(out, plan, layout).is_dir()]
        make = partial(make_room, out, settings=settings)
        counts = sum(each_room(make, todo, workers=workers, doing="Scanning rooms"), np.zeros(1, np.int64))
    console = Console()
    if todo:
        console.print(class_table(S3DIS, {"points": counts}, counts.sum()))
    done = areas * rooms - len(todo)
    console.print(f"{out}: {len(todo)} rooms written, {done} already complete", soft_wrap=True)


def read_settings(raw: Path) -> Settings:
    """Read the settings of the rooms in ``raw``.

    Raises:
        UserError: ``raw`` has no generated rooms, or rooms of another generator version.
    """
    note = raw / SETTINGS
    if not note.is_file():
        raise UserError(f"{note}: no such file. Generate rooms with python -m data_prep.rooms.")
    try:
        settings = Settings(**json.loads(note.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{note}: damaged ({error}). Generate the rooms again.") from error
    if settings.generator != GENERATOR:
        raise UserError(
            f"{note}: rooms of generator version {settings.generator}, expected {GENERATOR}. Generate the rooms again."
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
    """Write the split lists and the label table of ScanNet."""
    from data_prep.synthetic.scannet_raw import label_table

    for split in ("train", "val", "test"):
        names = [scan_name(plan) for plan in plans if SCANNET_SPLITS.get(plan.area, "train") == split]
        write_text(out / f"scannetv2_{split}.txt", "".join(f"{name}\n" for name in names))
    write_text(out / "scannetv2-labels.combined.tsv", label_table())


def make_room(out: Path, plan: RoomPlan, *, settings: Settings, threads: int = 0) -> np.ndarray:
    """Build, scan and write one room, whose folder appears when it is complete; return its points per class ``(K,)``.

    ``threads`` is the number of threads of the ray caster; 0 stands for all cores.
    """
    from data_prep.synthetic.room_types import build_room

    model = build_room(plan.build_seed, plan.room_type)
    folder = _room_folder(out, plan, settings.layout)
    # nested, because the files inside are named after their folder
    hidden = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(hidden, ignore_errors=True)
    write = _write_scannet if settings.layout == "scannet" else _write_s3dis
    instance = write(hidden / folder.name, model, plan, settings, threads)
    (hidden / folder.name).rename(folder)
    hidden.rmdir()
    label = np.array([S3DIS.names.index(name) for name in model.labels])[instance]
    return np.bincount(label, minlength=S3DIS.num_classes)


def _write_s3dis(
    folder: Path, model: "RoomModel", plan: RoomPlan, settings: Settings, threads: int
) -> np.ndarray:
    """Write a scan in the S3DIS layout; return the instance of each point."""
    from data_prep.synthetic.model import Pose
    from data_prep.synthetic.scanner import scan_room

    scan = scan_room(model, points=settings.points, seed=plan.scan_seed, threads=threads)
    turn = Pose(yaw=np.radians(settings.turn(plan.area)))
    pos = (scan.pos + plan.offset) @ turn.rotation.T
    decimals = 3 if settings.layout == "aligned" else 6
    write_room(folder, plan.name, pos, scan.color, scan.instance, model.labels, decimals=decimals)
    if settings.damage and plan.index < KINDS:
        damage_room(folder, plan.name, (plan.area - 1 + plan.index) % KINDS)
    return scan.instance


def _write_scannet(
    folder: Path, model: "RoomModel", plan: RoomPlan, settings: Settings, threads: int
) -> np.ndarray:
    """Write a scan in the ScanNet layout; return the instance of each vertex."""
    from data_prep.synthetic.meshing import mesh_sweeps
    from data_prep.synthetic.scanner import sweep_room
    from data_prep.synthetic.scannet_raw import write_scan, write_test_scan

    rng = np.random.default_rng(plan.scan_seed)
    mesh = mesh_sweeps(sweep_room(model, points=settings.points, rng=rng, threads=threads))
    degrees = plan.scan_seed % 360 if settings.yaw is None else settings.yaw
    if SCANNET_SPLITS.get(plan.area) == "test":
        write_test_scan(folder, mesh, yaw=np.radians(degrees))
    else:
        write_scan(folder, mesh, model.labels, yaw=np.radians(degrees), seed=plan.scan_seed)
    return mesh.instance


def scan_name(plan: RoomPlan) -> str:
    """Return the ScanNet name of a scan: two digits for the area, two for the room, first visit."""
    return f"scene{plan.area:02d}{plan.index:02d}_00"


def _room_folder(out: Path, plan: RoomPlan, layout: str) -> Path:
    if layout == "scannet":
        parent = "scans_test" if SCANNET_SPLITS.get(plan.area) == "test" else "scans"
        return out / parent / scan_name(plan)
    return out / f"Area_{plan.area}" / plan.name


if __name__ == "__main__":
    run(generate)
