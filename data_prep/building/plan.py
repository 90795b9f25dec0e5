"""The building: which rooms an area has, where they lie and from which numbers they grow."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

FIRST = ("office", "conferenceRoom", "hallway", "lounge")
"""The first rooms of every area, in some order: together they hold every class."""

SHARES = {"office": 0.5, "hallway": 0.2, "conferenceRoom": 0.15, "lounge": 0.15}
"""How often a further room is of a type."""

SPACING = 26.0
"""Metres between the corners of neighbouring rooms; no room is longer."""


@dataclass(frozen=True)
class RoomPlan:
    """One room to be made: ``offset`` (x, y, z) is where its corner lies in the area."""

    area: int
    index: int
    name: str
    room_type: str
    offset: tuple[float, float, float]
    build_seed: int
    scan_seed: int


def plan_area(seed: int, area: int, rooms: int) -> list[RoomPlan]:
    """The first ``rooms`` rooms of an area; more rooms never change the ones before."""
    rng = np.random.default_rng([seed, area])
    storey = round(float(rng.uniform(-0.1, 0.1)), 3)
    types = [FIRST[k] for k in rng.permutation(len(FIRST))]
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
