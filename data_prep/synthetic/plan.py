"""The building: which rooms an area has, where they lie and from which numbers they grow."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

SPACING = 26.0
"""Meters between the corners of neighboring rooms; no room is longer."""

FIRST = (("office",), ("conferenceRoom",), ("hallway", "hallway", "openspace"), ("lounge", "lounge", "lobby"))
"""The first rooms of every area, one of each group, in some order: together they hold every class."""

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
"""How often any further room is of a type."""


@dataclass(frozen=True)
class RoomPlan:
    """One room to be made.

    Attributes:
        area, index: From 1, from 0.
        name: Such as ``office_2``, unique in the area.
        room_type: Such as ``office``.
        offset: Where the corner of the room lies in the area, meters.
        build_seed, scan_seed: For the room and for its scan.
    """

    area: int
    index: int
    name: str
    room_type: str
    offset: tuple[float, float, float]
    build_seed: int
    scan_seed: int


def plan_area(seed: int, area: int, rooms: int) -> list[RoomPlan]:
    """The first ``rooms`` rooms of an area; asking for more never changes the ones before."""
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
    """Degrees by which the non-aligned release has an area turned: a multiple of 90."""
    return 90 * int(np.random.default_rng([seed, area, 4]).integers(4))
