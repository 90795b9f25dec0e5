"""The floor plan of a rectangular room: its four walls, placed objects and occupied space."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from data_prep.synthetic.model import Item, Pose

Rectangle = tuple[float, float, float, float]

SIDES = (0, 1, 2, 3)
"""The walls y = 0, x = width, y = depth, x = 0; along them runs +x, +y, -x, -y."""

TRIES = 30


def _rectangles() -> dict[int, list[Rectangle]]:
    return {side: [] for side in SIDES}


@dataclass
class Floorplan:
    """A room being furnished.

    Attributes:
        size: Width, depth and height in meters.
        rng: Random generator of the room.
        outer: Outer walls, the only ones with windows.
        items: Placed objects with their poses.
        footprints: Rectangles ``x0, x1, y0, y1`` of floor under objects, and their heights.
        ways: Rectangles of floor in front of doors, kept free.
        holes: Per side, rectangles ``a0, a1, z0, z1`` cut out of the wall.
        taken: Per side, rectangles of the wall that are occupied.
    """

    size: tuple[float, float, float]
    rng: np.random.Generator
    outer: tuple[int, ...] = ()
    items: list[tuple[Item, Pose]] = field(default_factory=list)
    footprints: list[tuple[Rectangle, float]] = field(default_factory=list)
    ways: list[Rectangle] = field(default_factory=list)
    holes: dict[int, list[Rectangle]] = field(default_factory=_rectangles)
    taken: dict[int, list[Rectangle]] = field(default_factory=_rectangles)

    @property
    def inner(self) -> tuple[int, ...]:
        return tuple(side for side in SIDES if side not in self.outer)

    def length(self, side: int) -> float:
        return self.size[side % 2]

    def on_wall(self, side: int, along: float, away: float = 0.0, z: float = 0.0) -> Pose:
        """Return the pose ``along`` a wall and ``away`` from it, with its front to the room."""
        width, depth, _ = self.size
        corner = [(0, 0), (width, 0), (width, depth), (0, depth)][side]
        return Pose(*corner, 0.0, side * np.pi / 2).then(along, away, z)

    def put(self, item: Item, pose: Pose, *, margin: float | None = None) -> Pose:
        """Place an object without checks; with a ``margin``, mark its footprint as occupied."""
        self.items.append((item, pose))
        if margin is not None:
            self.footprints.append((footprint(item.size, pose, margin), pose.z + item.size[2]))
        return pose

    def holds(self, area: Rectangle) -> bool:
        """Return whether a footprint is inside the room."""
        return area[0] >= 0 and area[2] >= 0 and area[1] <= self.size[0] and area[3] <= self.size[1]

    def is_free(self, area: Rectangle) -> bool:
        """Return whether a footprint is inside the room, clear of objects and walkways."""
        taken = [place for place, _ in self.footprints] + self.ways
        return self.holds(area) and not any(_meet(area, place) for place in taken)

    def is_bare(self, side: int, area: Rectangle) -> bool:
        """Return whether a rectangle of a wall is free of hangings, furniture and openings."""
        return not any(_meet(area, place) for place in self.taken[side])

    def against_wall(
        self, item: Item, *, sides: Sequence[int] = SIDES, gap: float = 0.02, front: float = 0.5
    ) -> Pose | None:
        """Place an object with its back to a wall and ``front`` meters free in front; ``None`` if it does not fit."""
        width, depth, height = item.size
        for _ in range(TRIES):
            side = int(self.rng.choice(sides))
            if self.length(side) <= width + 0.1:
                continue
            along = self.rng.uniform(width / 2 + 0.03, self.length(side) - width / 2 - 0.03)
            pose = self.on_wall(side, along, depth / 2 + gap)
            wall = (along - width / 2, along + width / 2, 0.0, height)
            floor = footprint((width, depth + front), pose.then(y=front / 2), 0.0)
            if self.is_bare(side, wall) and self.is_free(floor):
                self.taken[side].append(wall)
                return self.put(item, pose, margin=0.02)
        return None

    def inside(self, item: Item, *, margin: float = 0.4, yaws: Sequence[float] = (0.0,)) -> Pose | None:
        """Place an object anywhere with ``margin`` meters free around it; ``None`` if it does not fit."""
        width, depth, _ = self.size
        for _ in range(TRIES):
            yaw = float(self.rng.choice(yaws))
            pose = Pose(self.rng.uniform(0, width), self.rng.uniform(0, depth), 0, yaw)
            if self.is_free(footprint(item.size, pose, margin)):
                return self.put(item, pose, margin=0.05)
        return None

    def hang(self, item: Item, z: float, *, sides: Sequence[int] = SIDES) -> Pose | None:
        """Hang an object on a wall with its lower edge at ``z``; ``None`` if it does not fit."""
        (width, _, tall), spare = item.size, 0.06
        for _ in range(TRIES):
            side = int(self.rng.choice(sides))
            if self.length(side) <= width + 0.3:
                continue
            along = float(self.rng.uniform(width / 2 + 0.12, self.length(side) - width / 2 - 0.12))
            area = (along - width / 2 - spare, along + width / 2 + spare, z - spare, z + tall + spare)
            pose = self.on_wall(side, along, 0, z)
            before = footprint((width, 0.3), pose.then(y=0.16), 0.0)
            hidden = any(tall > z and _meet(before, place) for place, tall in self.footprints)
            if area[3] < self.size[2] and self.is_bare(side, area) and not hidden:
                self.taken[side].append(area)
                return self.put(item, pose)
        return None


def _meet(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def footprint(size: Sequence[float], pose: Pose, margin: float) -> Rectangle:
    """Return the box ``x0, x1, y0, y1`` of an object of ``size`` at ``pose``, ``margin`` wider on every side."""
    c, s = abs(np.cos(pose.yaw)), abs(np.sin(pose.yaw))
    half_x = (size[0] * c + size[1] * s) / 2 + margin
    half_y = (size[0] * s + size[1] * c) / 2 + margin
    return pose.x - half_x, pose.x + half_x, pose.y - half_y, pose.y + half_y
