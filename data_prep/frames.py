"""Frames of generated rooms: ``python -m data_prep.frames RAW OUT`` photographs what ``data_prep.rooms`` made.

A room is built again from the numbers that it grew from, and looked at by ray casting. The frames of each room
lie in the layout of ScanNet's ``scannet_frames_25k``, in the coordinates of the prepared scenes.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jsonargparse.typing import PositiveInt
from PIL import Image
from rich.console import Console
from rich.progress import track

from data_prep.parallel import NUM_PROCESSORS
from data_prep.rooms import SETTINGS, Settings, read_settings
from data_prep.synthetic.generating import each_room, open_folder
from data_prep.synthetic.plan import RoomPlan, plan_area
from pcseg.cli import run
from pcseg.errors import UserError
from pcseg.labels import S3DIS

NOTE = "frames.json"
"""In the folder of the frames: what they were made of and how, and the classes."""

FRAMES = 1
"""Raised when this module takes other pictures of the same rooms."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What the frames of a room depend on besides the room."""

    version: int = FRAMES
    frames: int
    width: int
    height: int
    focal: float


def take_frames(
    raw: Path,
    out: Path,
    *,
    frames: PositiveInt = 16,  # pyright: ignore[reportInvalidTypeForm]
    width: PositiveInt = 320,  # pyright: ignore[reportInvalidTypeForm]
    height: PositiveInt = 240,  # pyright: ignore[reportInvalidTypeForm]
    field_of_view: float = 70.0,
    workers: PositiveInt = NUM_PROCESSORS,  # pyright: ignore[reportInvalidTypeForm]
) -> None:
    """Photograph generated rooms: colour, label, depth, pose and intrinsics.

    A run that was stopped goes on where it was: rooms that are complete are skipped.

    Args:
        raw: Folder that ``python -m data_prep.rooms`` wrote.
        out: Folder of the frames, <area>/<room>/color, depth, label, pose; made if need be.
        frames: Frames of each room; together they see as much of it as can be.
        width: Of a frame in pixels.
        height: Of a frame in pixels.
        field_of_view: Horizontal angle of a frame in degrees.
        workers: Rooms worked on at a time.

    Raises:
        UserError: ``raw`` has no generated rooms, or ``out`` holds something else.
    """
    if not 10 <= field_of_view <= 120:
        raise UserError(f"--field_of_view {field_of_view}: give an angle between 10 and 120 degrees")
    settings = read_settings(raw)
    plans = find_plans(raw, settings)
    focal = round(width / 2 / np.tan(np.radians(field_of_view) / 2), 3)
    pictures = Pictures(frames=frames, width=width, height=height, focal=focal)
    note = {"schema": json.loads(S3DIS.to_json()), "rooms": asdict(settings), "pictures": asdict(pictures)}
    open_folder(out / NOTE, note, kind="frames")
    todo = [plan for plan in plans if not room_folder(out, plan).is_dir()]
    console = Console()
    made = each_room(partial(photograph, out, settings=settings, pictures=pictures), todo, workers=workers)
    for _ in track(made, "Photographing rooms", total=len(todo), console=console, auto_refresh=False):
        pass
    console.print(
        f"{out}: frames of {len(todo)} rooms written, {len(plans) - len(todo)} already there", soft_wrap=True
    )


def find_plans(raw: Path, settings: Settings) -> list[RoomPlan]:
    """The plans of the rooms that are there."""
    if settings.layout == "scannet":
        raise UserError(f"{raw}: rooms in the layout of ScanNet; frames are taken of rooms in that of S3DIS")
    plans = []
    for folder in sorted(raw.glob("Area_*")):
        names = {room.name for room in folder.iterdir() if room.is_dir() and not room.name.startswith(".")}
        area = plan_area(settings.seed, int(folder.name.removeprefix("Area_")), len(names))
        found = [plan for plan in area if plan.name in names]
        if len(found) != len(names):
            raise UserError(
                f"{folder}: holds rooms that {SETTINGS} does not tell of, or lacks some; make it again"
            )
        plans += found
    if not plans:
        raise UserError(f"{raw}: holds no rooms; make them with data_prep.rooms")
    return plans


def photograph(
    out: Path, plan: RoomPlan, *, settings: Settings, pictures: Pictures, threads: int = 0
) -> None:
    """Take all frames of one room; its folder appears when it is complete."""
    from data_prep.synthetic.camera import Lens, choose_poses, find_exposure, take_view
    from data_prep.synthetic.room_types import build_room

    model = build_room(plan.build_seed, plan.room_type)
    lens = Lens(width=pictures.width, height=pictures.height, focal=pictures.focal)
    rng = np.random.default_rng([plan.scan_seed, pictures.version])
    poses = choose_poses(model, lens, count=pictures.frames, rng=rng, threads=threads)
    exposure = find_exposure(model, poses, lens, rng, threads=threads)
    label = np.array([S3DIS.names.index(name) + 1 for name in model.labels] + [0], np.uint8)
    placed = placement(plan, settings)
    folder = room_folder(out, plan)
    hidden = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(hidden, ignore_errors=True)
    for part in ("color", "depth", "label", "pose"):
        (hidden / part).mkdir(parents=True)
    for name in ("intrinsics_color.txt", "intrinsics_depth.txt"):
        np.savetxt(hidden / name, lens.matrix, fmt="%.6f")
    for number, pose in enumerate(poses):
        view = take_view(model, pose, lens, exposure=exposure, rng=rng, threads=threads)
        name = f"{number:06d}"
        Image.fromarray(view.color).save(hidden / "color" / f"{name}.jpg", quality=95)
        depth = np.clip(np.rint(view.depth * 1000), 0, 65535).astype(np.uint16)
        Image.fromarray(depth).save(hidden / "depth" / f"{name}.png")
        Image.fromarray(label[view.instance]).save(hidden / "label" / f"{name}.png")
        np.savetxt(hidden / "pose" / f"{name}.txt", placed @ pose, fmt="%.6f")
    hidden.rename(folder)


def placement(plan: RoomPlan, settings: Settings) -> np.ndarray:
    """Matrix ``(4, 4)`` from the frame of a room to that of its area, as ``data_prep.rooms`` writes points."""
    turn = np.radians(settings.turn(plan.area))
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    matrix[:3, 3] = matrix[:3, :3] @ plan.offset
    return matrix


def room_folder(out: Path, plan: RoomPlan) -> Path:
    return out / f"Area_{plan.area}" / plan.name


if __name__ == "__main__":
    run(take_frames)
