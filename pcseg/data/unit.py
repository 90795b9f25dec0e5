"""Decide the unit of a cloud: meters, unless several independent signs agree on another one."""

from dataclasses import dataclass

import numpy as np

from pcseg.data.surfaces import Surfaces, excess_cover

METERS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048, "in": 0.0254, "ft-us": 1200 / 3937}
"""Length of each unit."""

GUESSED = ("m", "cm", "mm", "ft", "in")
"""Units that are recognized; US survey feet differ from feet by 2 millionths."""

ROOM = (2.15, 4.6)
"""Range of distances between floor and ceiling in meters."""

SPACING = (0.0004, 0.4)
"""Range of distances between neighboring points in meters."""

WIDTH = (0.8, 2000.0)
"""Range of the larger horizontal extent in meters."""

LAYERS = 150
"""Number of layers of the height in which floors and ceilings are searched."""

SEATS, TABLES = (0.4, 0.52), (0.68, 0.8)
"""Ranges of heights in meters."""


@dataclass(frozen=True, kw_only=True)
class Heights:
    """Horizontal surfaces of a cloud in its own unit.

    Args:
        room: Distance between a floor and the ceiling above it, or 0 if there is no pair.
        open_room: Height of the cloud above its only floor, or 0.
        inner, share: Heights ``(n,)`` of surfaces above the floor of their storey, and their share of all surfaces.
    """

    room: float
    open_room: float
    inner: np.ndarray
    share: float


@dataclass(frozen=True, kw_only=True)
class UnitGuess:
    """The unit, why, and whether nothing confirms it."""

    unit: str
    reason: str
    doubt: bool = False


def find_unit(surfaces: Surfaces, up: np.ndarray) -> UnitGuess:
    """Return the unit of a cloud whose vertical is ``up`` ``(3,)``.

    Another unit replaces meters if two signs favor it: the height of rooms or tables, and a spacing, a width or a
    table height that meters contradict. If none or several units fit, meters stay, with a doubt.
    """
    heights = measure_heights(surfaces, up)
    side = np.sort((surfaces.high - surfaces.low)[np.abs(up).round() < 0.5])
    width = float(side.max(initial=0.0))
    fits = {unit: _fit(heights, METERS[unit]) for unit in GUESSED}
    possible = {unit: _possible(surfaces, width, METERS[unit]) for unit in GUESSED}
    text = _describe(heights, surfaces)
    if possible["m"] and fits["m"] >= 1:
        rival = max(fits[unit] for unit in GUESSED[1:] if possible[unit] or unit == "ft")
        return UnitGuess(unit="m", reason=text, doubt=fits["m"] < 2 and rival >= fits["m"])
    found = {
        unit: fits[unit] + (not possible["m"]) for unit in GUESSED[1:] if possible[unit] and fits[unit] > 0
    }
    best = max(found, key=lambda unit: found[unit], default="m")
    # feet and inches are close to meters and centimeters: an open top is not enough
    clear = best in ("cm", "mm") or fits[best] >= 1
    only = all(found[best] > found[unit] for unit in found if unit != best)
    if best != "m" and clear and only and found[best] >= 1.5 and fits["m"] <= 0:
        return UnitGuess(unit=best, reason=text)
    # an open room in meters looks like the lower part of a room in feet
    open_room = heights.open_room <= 3.3 and width <= 4 * heights.open_room and fits["m"] > 0
    return UnitGuess(unit="m", reason=f"assumed: {text}", doubt=not (possible["m"] and open_room))


def find_unit_of_any_axis(surfaces: Surfaces) -> UnitGuess:
    """Return the unit of a cloud whose vertical is not known: the one that several axes agree on."""
    guesses = [find_unit(surfaces, up) for up in np.eye(3)]
    clear = [guess for guess in guesses if not guess.doubt]
    if len(clear) > 1 and len({guess.unit for guess in clear}) == 1 and clear[0].unit != "m":
        return clear[0]
    return UnitGuess(unit="m", reason="assumed, as the vertical is not certain", doubt=True)


def find_unit_of_view(surfaces: Surfaces) -> UnitGuess:
    """Return the unit of a camera view: meters, or millimeters if meters are impossible."""
    distance = float(np.median(np.linalg.norm(surfaces.pos, axis=1)))
    text = f"the view is {distance:.3g} away"
    if 0.3 <= distance <= 12:
        return UnitGuess(unit="m", reason=text)
    found = [unit for unit in ("mm", "cm") if 0.4 <= distance * METERS[unit] <= 8]
    if len(found) == 1 and surfaces.spacing * METERS["m"] > 0.3:
        return UnitGuess(unit=found[0], reason=text)
    return UnitGuess(unit="m", reason=f"assumed: {text}", doubt=True)


def measure_heights(surfaces: Surfaces, up: np.ndarray) -> Heights:
    """Find floors, ceilings and the surfaces between them along ``up``."""
    everything = surfaces.pos @ up
    low, high = np.percentile(everything, (1, 99))
    extent = max(float(high - low), 1e-12)
    floors = _floors(surfaces, up, everything, float(low), extent)
    gaps = np.diff(floors)
    rooms = gaps[gaps > 0.5 * gaps.max()] if len(gaps) else gaps
    room = float(np.median(rooms)) if len(rooms) else 0.0
    level = surfaces.planar & (np.abs(surfaces.normal @ up) > 0.95)
    height = everything[surfaces.fitted][level]
    start = floors if len(floors) else np.array([low])
    above = height - start[np.clip(np.searchsorted(start, height, side="right") - 1, 0, None)]
    storey = room or extent
    inner = above[(above > 0.08 * storey) & (above < 0.85 * storey)]
    alone = extent if len(floors) == 1 and floors[0] < low + 0.06 * extent else 0.0
    return Heights(room=room, open_room=alone, inner=inner, share=len(inner) / max(1, len(level)))


def _floors(surfaces: Surfaces, up: np.ndarray, height: np.ndarray, low: float, extent: float) -> np.ndarray:
    """Return the heights, ascending, at which the cloud covers much more of its footprint than just above and below."""
    across = np.argsort(np.abs(up))[:2]
    tiles = np.clip(np.sqrt(len(height) / 100), 6, 40)
    sides = np.sort((surfaces.high - surfaces.low)[across])
    # narrow enough that the walls of a corridor do not fill all tiles
    size = max(min(np.sqrt(sides.prod()) / tiles, sides[0] / 6), sides[1] / 5000, 1e-12)
    tile = np.floor((surfaces.pos - surfaces.low)[:, across] / size).astype(np.int64) @ (1, 1 << 20)
    layer = np.floor((height - low) / extent * LAYERS).astype(np.int64)
    inside = (layer >= -3) & (layer < LAYERS + 3)
    tile, layer = tile[inside], layer[inside] + 3
    excess = excess_cover(tile, layer, LAYERS + 7, half=12)
    enough = 0.3 * len(np.unique(tile))
    floors: list[int] = []
    for number in np.argsort(-excess, kind="stable"):
        if excess[number] >= enough and all(abs(number - other) > 0.04 * LAYERS for other in floors):
            floors.append(int(number))
    return low + (np.sort(np.array(floors, dtype=np.float64)) - 3) / LAYERS * extent


def _fit(heights: Heights, meters: float) -> float:
    """Return how well heights fit a unit: rooms count more than tables, open rooms less; wrong tables are negative."""
    room = ROOM[0] <= heights.room * meters <= ROOM[1]
    open_room = not heights.room and 1.8 <= heights.open_room * meters <= ROOM[1]
    inner = heights.inner * meters
    enough = len(inner) >= 15
    right = sum((inner > low) & (inner < high) for low, high in (SEATS, TABLES))
    tables = enough and np.mean(right) > 0.45
    wrong = enough and heights.share > 0.01 and np.mean((inner > 0.25) & (inner < 1.4)) < 0.3
    return 1.2 * room + 0.5 * open_room + float(tables) - float(wrong)


def _possible(surfaces: Surfaces, width: float, meters: float) -> bool:
    """Return whether spacing and width are possible in a unit."""
    spacing = SPACING[0] <= surfaces.spacing * meters <= SPACING[1]
    return spacing and WIDTH[0] <= width * meters <= WIDTH[1]


def _describe(heights: Heights, surfaces: Surfaces) -> str:
    height = heights.room or heights.open_room
    room = f"rooms are {height:.3g} high, " if height else ""
    return f"{room}points {surfaces.spacing:.2g} apart"
