"""Write a building of generated, scanned rooms in the raw S3DIS layout: ``python -m data_prep.rooms OUT``."""

import json
import multiprocessing
import shutil
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt, PositiveInt
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_prep.building.plan import RoomPlan, plan_area
from pcseg.errors import UserError, exit_on_user_error

SETTINGS = "rooms.json"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the bytes of a room depend on besides its place in the building."""

    seed: int
    points: int
    layout: str
    yaw: int


def generate(
    out: Path,
    *,
    areas: PositiveInt = 6,
    rooms: PositiveInt = 4,
    seed: NonNegativeInt = 0,
    points: PositiveInt = 400_000,
    workers: PositiveInt = 2,
    layout: Literal["aligned", "nonaligned"] = "aligned",
    yaw: int = 0,
) -> None:
    """Write a building of generated, scanned rooms in the raw layout of S3DIS.

    Args:
        out: Folder to write ``Area_1`` ... into.
        areas: Number of areas.
        rooms: Number of rooms in each area.
        seed: The same seed gives the same bytes.
        points: Points of a room.
        workers: Processes that work at the same time.
        layout: ``aligned`` (3 decimals) or ``nonaligned`` (6 decimals and an angle file).
        yaw: Degrees by which the building is turned.
    """
    settings = Settings(seed=seed, points=points, layout=layout, yaw=yaw)
    open_folder(out, settings)
    plans = [plan for area in range(1, areas + 1) for plan in plan_area(seed, area, rooms)]
    missing = [plan for plan in plans if not room_folder(out, plan).is_dir()]
    columns = TextColumn("rooms"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns) as progress:
        bar = progress.add_task("rooms", total=len(plans), completed=len(plans) - len(missing))
        if workers == 1:
            for plan in missing:
                write(out, plan, settings, 0)
                progress.advance(bar)
            return
        # a forked process would inherit the threads of the ray caster and hang
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            jobs: list[Future[None]] = [pool.submit(write, out, plan, settings, 1) for plan in missing]
            for job in as_completed(jobs):
                job.result()
                progress.advance(bar)


def open_folder(out: Path, settings: Settings) -> None:
    """Create ``out`` or make sure that the rooms in it were made with the same settings."""
    note = out / SETTINGS
    text = json.dumps(vars(settings), indent=1) + "\n"
    try:
        if note.is_file():
            if note.read_text() != text:
                raise UserError(
                    f"{note}: rooms here have other settings; delete {out} or choose another folder"
                )
            return
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise UserError(f"{out}: not empty and not a building; choose another folder")
        note.write_text(text)
    except OSError as error:
        raise UserError(f"{out}: cannot write here ({error.strerror}); choose another folder") from error


def room_folder(out: Path, plan: RoomPlan) -> Path:
    return out / f"Area_{plan.area}" / plan.name


def write(out: Path, plan: RoomPlan, settings: Settings, threads: int) -> None:
    """Build, scan and write one room; its folder appears when it is complete."""
    from data_prep.building.raw import write_room
    from data_prep.building.room_types import build_room
    from data_prep.building.scanner import scan_room

    model = build_room(plan.build_seed, plan.room_type)
    scan = scan_room(model, points=settings.points, seed=plan.scan_seed, threads=threads)
    turn = np.radians(settings.yaw)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    pos = (scan.pos + plan.offset) @ rotation.T
    target = room_folder(out, plan)
    partial = target.with_name(f".{plan.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    decimals = 3 if settings.layout == "aligned" else 6
    write_room(partial, plan.name, pos, scan.color, scan.instance, model.labels, decimals=decimals)
    partial.rename(target)


def main() -> None:
    parser = ArgumentParser(description=generate.__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_function_arguments(generate, as_positional=True)
    generate(**parser.parse_args().as_dict())


if __name__ == "__main__":
    exit_on_user_error(main)
