"""The building: the rooms of each area, their positions and seeds."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

SPACING = 26.0
"""Meters between the corners of neighboring rooms; no room is longer."""

FIRST = (("office",), ("conferenceRoom",), ("hallway", "hallway", "openspace"), ("lounge", "lounge", "lobby"))
"""The first rooms of every area, one of each group, in random order: together they have every class."""

SECOND = (("office",), ("storage", "copyRoom"), ("pantry", "WC"), ("lobby", "hallway", "lounge"))
"""The next rooms of every area."""

SHARES = {
    "office": 0.34,
    "hallway": 0.14,
    "conferenceRoom": 0.12,
    "lounge": 0.09,
    "storage": 0.07,
    "lobby": 0.06,
    "pantry": 0.05,
    "copyRoom": 0.05,
    "openspace": 0.04,
    "WC": 0.04,
}
"""Weight of each type for further rooms."""


@dataclass(frozen=True)
class RoomPlan:
    """One room to generate, such as ``office_2`` of the type ``office``, in area 1, 2, … with index 0, 1, …

    ``offset`` is the position of the corner of the room in the area, in meters.
    """

    area: int
    index: int
    name: str
    room_type: str
    offset: tuple[float, float, float]
    build_seed: int
    scan_seed: int


def plan_area(seed: int, area: int, rooms: int) -> list[RoomPlan]:
    """Plan the first ``rooms`` rooms of an area; more rooms never change earlier ones."""
    rng = np.random.default_rng([seed, area])
    storey = round(float(rng.uniform(-0.1, 0.1)), 3)
    types = [str(rng.choice(group[k])) for group in (FIRST, SECOND) for k in rng.permutation(len(group))]
    while len(types) < rooms:
        types.append(str(rng.choice(list(SHARES), p=list(SHARES.values()))))
    counts: Counter[str] = Counter()
    plans = []
    for index, room_type in enumerate(types[:rooms]):
        counts[room_type] += 1
        build_seed, scan_seed = np.random.SeedSequence([seed, area, index]).generate_state(2)
        offset = (index % 4 * SPACING - SPACING, index // 4 * SPACING - SPACING, storey)
        name = f"{room_type}_{counts[room_type]}"
        plans.append(RoomPlan(area, index, name, room_type, offset, int(build_seed), int(scan_seed)))
    return plans


def quarter_turn(seed: int, area: int) -> int:
    """Return the rotation of an area in the non-aligned release in degrees: a multiple of 90."""
    return 90 * int(np.random.default_rng([seed, area, 4]).integers(4))
