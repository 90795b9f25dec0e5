"""Where things stand: a rectangular room, its four walls, and what is taken already."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from data_prep.building.model import Pose, Thing

SIDES = (0, 1, 2, 3)
"""South, east, north, west; seen from inside, ``along`` runs from a wall's left corner to the right one... 

mirrored: along side 0 it is +x, along side 1 +y, along side 2 -x, along side 3 -y."""


@dataclass
class Floorplan:
    """A room being furnished.

    Attributes:
        size: Width, depth and height in metres.
        rng: The source of every choice in this room.
        things: What has been placed, with poses.
        footprints: Rectangles ``x0, x1, y0, y1`` on the floor that are taken.
        openings: Per side, the rectangles ``a0, a1, z0, z1`` of its wall that are taken.
    """

    size: tuple[float, float, float]
    rng: np.random.Generator
    things: list[tuple[Thing, Pose]] = field(default_factory=list)
    footprints: list[tuple[float, float, float, float]] = field(default_factory=list)
    blocked: list[tuple[float, float, float, float]] = field(default_factory=list)
    openings: dict[int, list[tuple[float, float, float, float]]] = field(
        default_factory=lambda: {side: [] for side in SIDES}
    )

    def length(self, side: int) -> float:
        return self.size[side % 2]

    def on_wall(self, side: int, along: float, away: float = 0.0, z: float = 0.0) -> Pose:
        """The pose ``along`` a wall and ``away`` from it, with its front to the room."""
        width, depth, _ = self.size
        corner = [(0, 0), (width, 0), (width, depth), (0, depth)][side]
        return Pose(*corner, 0.0, side * np.pi / 2).then(along, away, z)

    def put(self, thing: Thing, pose: Pose, *, margin: float | None = None) -> Pose:
        """Place without asking; with a ``margin`` its footprint is taken from then on."""
        self.things.append((thing, pose))
        if margin is not None:
            self.footprints.append(footprint(thing.size, pose, margin))
        return pose

    def is_free(self, area: tuple[float, float, float, float], *, walk: bool = True) -> bool:
        """Whether a footprint lies in the room and touches nothing that is taken."""
        width, depth, _ = self.size
        x0, x1, y0, y1 = area
        if x0 < 0 or y0 < 0 or x1 > width or y1 > depth:
            return False
        taken = self.footprints + (self.blocked if walk else [])
        return not any(x0 < b and a < x1 and y0 < d and c < y1 for a, b, c, d in taken)

    def is_bare(self, side: int, start: float, stop: float, bottom: float, top: float) -> bool:
        """Whether nothing hangs on or opens in this rectangle of a wall."""
        return not any(
            start < b and a < stop and bottom < d and c < top for a, b, c, d in self.openings[side]
        )

    def against_wall(
        self, thing: Thing, *, sides: Sequence[int] = SIDES, gap: float = 0.02, front: float = 0.5
    ) -> Pose | None:
        """Place with its back to a wall and ``front`` metres free before it; ``None`` if there is no room."""
        width, depth, height = thing.size
        for _ in range(24):
            side = int(self.rng.choice(sides))
            if self.length(side) <= width + 0.1:
                continue
            along = self.rng.uniform(width / 2 + 0.03, self.length(side) - width / 2 - 0.03)
            pose = self.on_wall(side, along, depth / 2 + gap)
            room = (width, depth + front, height)
            if self.is_bare(side, along - width / 2, along + width / 2, 0, height) and self.is_free(
                footprint(room, pose.then(y=front / 2), 0.0)
            ):
                return self.put(thing, pose, margin=0.02)
        return None

    def inside(self, thing: Thing, *, margin: float = 0.4, yaws: Sequence[float] = (0.0,)) -> Pose | None:
        """Place anywhere with ``margin`` metres free around it; ``None`` if there is no room."""
        width, depth, _ = self.size
        for _ in range(24):
            pose = Pose(self.rng.uniform(0, width), self.rng.uniform(0, depth), 0, self.rng.choice(yaws))
            if self.is_free(footprint(thing.size, pose, margin)):
                return self.put(thing, pose, margin=0.05)
        return None

    def hang(
        self, thing: Thing, height: float, *, sides: Sequence[int] = SIDES, spare: float = 0.05
    ) -> tuple[int, float] | None:
        """Hang on a wall with its lower edge at ``height``; returns (side, along) or ``None``."""
        width, _, tall = thing.size
        for _ in range(24):
            side = int(self.rng.choice(sides))
            if self.length(side) <= width + 0.3:
                continue
            along = self.rng.uniform(width / 2 + 0.12, self.length(side) - width / 2 - 0.12)
            start, stop = along - width / 2 - spare, along + width / 2 + spare
            if self.is_bare(side, start, stop, height - spare, height + tall + spare):
                self.put(thing, self.on_wall(side, along, 0, height))
                self.openings[side].append((start, stop, height, height + tall))
                return side, along
        return None


def footprint(size: Sequence[float], pose: Pose, margin: float) -> tuple[float, float, float, float]:
    """Box ``x0, x1, y0, y1`` about a thing of ``size`` at ``pose``, ``margin`` wider on every side."""
    c, s = abs(np.cos(pose.yaw)), abs(np.sin(pose.yaw))
    half_x = (size[0] * c + size[1] * s) / 2 + margin
    half_y = (size[0] * s + size[1] * c) / 2 + margin
    return pose.x - half_x, pose.x + half_x, pose.y - half_y, pose.y + half_y
