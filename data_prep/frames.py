"""Frames of generated rooms: ``python -m data_prep.frames RAW OUT`` renders images of rooms from ``data_prep.rooms``.

Each room is rebuilt from its seed and rendered by ray casting. The frames have the layout of ScanNet's
``scannet_frames_25k``; poses are in the coordinates of the prepared scenes.
"""

import json
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from rich.console import Console

from data_prep.parallel import NUM_PROCESSORS
from data_prep.rooms import SETTINGS, Settings, read_settings
from data_prep.synthetic.camera import Lens, choose_poses, take_view, world_rays
from data_prep.synthetic.generating import each_room, open_folder
from data_prep.synthetic.lighting import find_exposure
from data_prep.synthetic.model import Pose
from data_prep.synthetic.plan import RoomPlan, plan_area
from data_prep.synthetic.room_types import build_room
from pcseg.cli import run
from pcseg.errors import UserError
from pcseg.files import output_folder
from pcseg.labels import S3DIS
from pcseg.values import Few, Processes, Range, checked

NOTE = "frames.json"
"""File in the folder of the frames with their settings and classes."""

FRAMES = 1
"""Increased when this module changes the images of the same rooms."""


@checked("--")
def take_frames(
    raw: Path,
    out: Path,
    *,
    frames: Few = 16,
    width: Few = 320,
    height: Few = 240,
    field_of_view: Annotated[float, Range(10, 120)] = 70.0,
    workers: Processes = NUM_PROCESSORS,
) -> None:
    """Render frames of generated rooms: color, label, depth, pose and intrinsics.

    An interrupted run resumes: complete rooms are skipped.

    Args:
        raw: Folder written by ``python -m data_prep.rooms``.
        out: Folder of the frames, <area>/<room>/color, depth, label, pose; created if it does not exist.
        frames: Number of frames per room; views are chosen to cover as much of the room as possible.
        width: Frame width in pixels.
        height: Frame height in pixels.
        field_of_view: Horizontal field of view in degrees.
        workers: Number of processes.

    Raises:
        UserError: ``raw`` has no generated rooms, or ``out`` holds other files.
    """
    settings = read_settings(raw)
    plans = find_plans(raw, settings)
    focal = round(width / 2 / np.tan(np.radians(field_of_view) / 2), 3)
    lens = Lens(width=width, height=height, focal=focal)
    pictures = {"version": FRAMES, "frames": frames, **asdict(lens)}
    note = {"schema": json.loads(S3DIS.to_json()), "rooms": asdict(settings), "pictures": pictures}
    with output_folder(out, wait=True):
        open_folder(out / NOTE, note, kind="frames")
        todo = [plan for plan in plans if not room_folder(out, plan).is_dir()]
        make = partial(photograph, out, settings=settings, lens=lens, frames=frames)
        each_room(make, todo, workers=workers, doing="Rendering frames")
    done = len(plans) - len(todo)
    Console().print(f"{out}: frames of {len(todo)} rooms written, {done} already complete", soft_wrap=True)


def find_plans(raw: Path, settings: Settings) -> list[RoomPlan]:
    """Return the plans of the rooms in ``raw``."""
    if settings.layout == "scannet":
        raise UserError(f"{raw}: has the ScanNet layout. Generate rooms with --layout aligned or nonaligned.")
    plans = []
    for folder in sorted(raw.glob("Area_*")):
        names = {room.name for room in folder.iterdir() if room.is_dir() and not room.name.startswith(".")}
        area = plan_area(settings.seed, int(folder.name.removeprefix("Area_")), len(names))
        found = [plan for plan in area if plan.name in names]
        if len(found) != len(names):
            raise UserError(f"{folder}: rooms do not match {SETTINGS}. Generate it again.")
        plans += found
    if not plans:
        raise UserError(f"{raw}: holds no rooms. Generate them with python -m data_prep.rooms.")
    return plans


def photograph(
    out: Path, plan: RoomPlan, *, settings: Settings, lens: Lens, frames: int, threads: int = 0
) -> None:
    """Render all frames of one room; its folder appears only when it is complete."""
    model = build_room(plan.build_seed, plan.room_type)
    rng = np.random.default_rng([plan.scan_seed, FRAMES])
    poses = choose_poses(model, lens, count=frames, rng=rng, threads=threads)
    looks = ((pose[:3, 3], world_rays(lens, pose, step=lens.width // 20)) for pose in poses)
    exposure = find_exposure(model, looks, rng, threads)
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
    """Return the ``(4, 4)`` transform from a room to its area that ``data_prep.rooms`` applies to points."""
    matrix = np.eye(4)
    matrix[:3, :3] = Pose(yaw=np.radians(settings.turn(plan.area))).rotation
    matrix[:3, 3] = matrix[:3, :3] @ plan.offset
    return matrix


def room_folder(out: Path, plan: RoomPlan) -> Path:
    return out / f"Area_{plan.area}" / plan.name


if __name__ == "__main__":
    run(take_frames)
