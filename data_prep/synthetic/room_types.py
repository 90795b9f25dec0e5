"""Types of rooms: size, beams and columns, and the resulting room model."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_prep.synthetic import common_rooms, openings, structure, work_rooms
from data_prep.synthetic.floorplan import SIDES, Floorplan, footprint
from data_prep.synthetic.model import RoomModel, assemble
from data_prep.synthetic.palette import Palette, draw_palette, tiled
from data_prep.synthetic.shell import add_shell, lamp_positions


@dataclass(frozen=True)
class RoomType:
    """Common properties of the rooms of a type.

    Attributes:
        short, long: Limits in meters of its shorter and its longer side.
        windows: Probability of an outer wall with windows.
        beams: Probability of beams; with probability 1, there are columns too.
        high: Meters added to the height.
    """

    furnish: Callable[[Floorplan, Palette], None]
    short: tuple[float, float]
    long: tuple[float, float]
    windows: float = 0.9
    beams: float = 0.3
    high: float = 0.0


ROOM_TYPES = {
    "office": RoomType(work_rooms.furnish_office, (2.7, 4.2), (3.4, 5.6), windows=1.0),
    "conferenceRoom": RoomType(work_rooms.furnish_conference_room, (3.7, 4.8), (4.6, 7.0), beams=0.5),
    "hallway": RoomType(common_rooms.furnish_hallway, (1.6, 2.4), (6.0, 11.0), windows=0.3, beams=1.0),
    "lounge": RoomType(common_rooms.furnish_lounge, (3.8, 5.2), (4.4, 6.8), beams=0.7),
    "lobby": RoomType(common_rooms.furnish_lobby, (4.4, 6.0), (5.5, 8.5), beams=1.0, high=0.4),
    "openspace": RoomType(work_rooms.furnish_open_space, (5.0, 7.0), (6.5, 10.0), beams=1.0),
    "storage": RoomType(work_rooms.furnish_storage, (2.0, 3.2), (2.6, 4.6), windows=0.15, beams=0.4),
    "copyRoom": RoomType(work_rooms.furnish_copy_room, (2.5, 3.6), (3.2, 5.0), windows=0.4),
    "pantry": RoomType(common_rooms.furnish_pantry, (2.8, 3.8), (3.4, 5.2), windows=0.6),
    "WC": RoomType(common_rooms.furnish_wc, (2.3, 3.4), (3.0, 5.0), windows=0.15, beams=0.2),
}
"""Types by their name in S3DIS."""


def build_room(seed: int, room_type: str) -> RoomModel:
    """Build a furnished room of one of :data:`ROOM_TYPES`; the same for the same seed."""
    kind = ROOM_TYPES[room_type]
    rng = np.random.default_rng(seed)
    short, long = float(rng.uniform(*kind.short)), float(rng.uniform(*kind.long))
    flat = (long, short) if rng.random() < 0.5 else (short, long)
    plan = Floorplan((*flat, float(rng.uniform(2.4, 3.1)) + kind.high), rng)
    look = draw_palette(rng)
    look = tiled(look, rng) if room_type == "WC" else look
    main = _choose_outer(plan, kind, room_type == "hallway")
    # the door faces the windows
    openings.add_door(plan, look, (main + 2) % 4)
    if rng.random() < kind.beams:
        number = max(1, round(long / rng.uniform(2.5, 5)))
        structure.add_beams(plan, look, number, columns=kind.beams == 1 or rng.random() < 0.85)
    if rng.random() < 0.25 and short > 2.8:
        structure.add_shaft(plan, look)
    openings.add_windows(plan, look)
    kind.furnish(plan, look)
    add_shell(plan, look)
    lamps, lamp_colors = _lights(plan)
    return assemble(
        plan.items,
        size=plan.size,
        obstacles=np.array([place for place, _ in plan.footprints] or [(0.0, 0.0, 0.0, 0.0)]),
        lamps=lamps,
        lamp_colors=lamp_colors,
        seed=seed,
    )


def _choose_outer(plan: Floorplan, kind: RoomType, ends: bool) -> int:
    """Choose the outer walls; return the wall across from the main door."""
    sides = SIDES if not ends else ((1, 3) if plan.size[0] > plan.size[1] else (0, 2))
    main = int(plan.rng.choice(sides))
    if plan.rng.random() < kind.windows:
        second = plan.rng.random() < 0.2 and not ends
        plan.outer = (main, (main + 1) % 4) if second else (main,)
    return main


def _lights(plan: Floorplan) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and colors ``(L, 3)`` of ceiling lamps and up to two windows."""
    lamps = lamp_positions(plan.size)
    for lamp in lamps:
        lamp[2] = _free_height(plan, lamp) - 0.06
    warm = np.array([1.0, 0.97, 0.9]) * plan.rng.normal(1, 0.03, 3)
    colors = np.tile(warm * 1.9 / np.sqrt(len(lamps)), (len(lamps), 1))
    panes = [pose.then(0, 0.3, 0.8).position for item, pose in plan.items if item.label == "window"]
    if panes:
        panes = [panes[0], panes[-1]] if len(panes) > 1 else panes
        daylight = np.array([0.9, 0.97, 1.05]) * plan.rng.uniform(0.2, 0.8) / len(panes)
        lamps, colors = np.vstack([lamps, panes]), np.vstack([colors, np.tile(daylight, (len(panes), 1))])
    return lamps, colors


def _free_height(plan: Floorplan, lamp: np.ndarray) -> float:
    """Return the height below which nothing hangs around a lamp: inside a duct it would light half of the points."""
    height = plan.size[2]
    for item, pose in plan.items:
        if pose.z > 1.8 and item.label in ("beam", "clutter"):
            x0, x1, y0, y1 = footprint(item.size, pose, 0.3)
            if x0 < lamp[0] < x1 and y0 < lamp[1] < y1:
                height = min(height, pose.z + item.bottom)
    return height
