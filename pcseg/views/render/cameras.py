"""Cameras for rooms: inside, from above with the ceiling removed, or from a given position."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pcseg.views.render.splat import Camera, splat
from pcseg.views.subject import Subject

View = Literal["inside", "top", "plan"]

Position = tuple[float, float, float]

EYE_HEIGHT = 1.6
"""Meters above the floor."""


@dataclass(kw_only=True)
class Box:
    """Bounds of a room without outliers: corners ``low`` and ``high`` (3,) in meters."""

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def around(cls, pos: np.ndarray) -> "Box":
        step = max(1, len(pos) // 200_000)
        low, high = np.percentile(pos[::step], (1, 99), axis=0)
        return cls(low=low, high=high)

    @property
    def center(self) -> np.ndarray:
        return (self.low + self.high) / 2

    @property
    def size(self) -> np.ndarray:
        return self.high - self.low


@dataclass(frozen=True, kw_only=True)
class Viewpoint:
    """Camera of a view.

    Args:
        view: ``inside`` is at eye height near the corner that sees most of the room, or at the sensor of a single scan;
            ``top`` and ``plan`` are from above, without the ceiling.
        eye, look_at: Positions in meters of the camera and in the center of the picture instead.
    """

    view: View = "inside"
    eye: Position | None = None
    look_at: Position | None = None

    def apply(self, subject: Subject, size: tuple[int, int]) -> tuple[np.ndarray | slice, Camera]:
        """Return the rows of the points to draw, and the camera for pictures of ``size``."""
        view = self.view if subject.pixels is None else "plan"
        inside = view == "inside" or self.eye is not None
        rows = slice(None) if inside else np.flatnonzero(below_ceiling(subject.pos))
        pos = subject.pos[rows]
        box = Box.around(pos)
        if self.eye is not None:
            camera = Camera(eye=np.array(self.eye), target=box.center, width=size[0], height=size[1], fov=75)
        elif view == "plan":
            camera = from_above(box, np.array([0.0, 0, 1]), *size)
        elif view == "top":  # the long side of the room runs across the picture
            aside = (-0.35, -0.75) if box.size[0] >= box.size[1] else (-0.75, -0.35)
            camera = from_above(box, np.array([*aside, 1.35]), *size)
        elif subject.sensor is not None:
            camera = from_sensor(pos, subject.sensor, *size)
        else:
            camera = from_corner(pos, box, *size)
        if self.look_at is not None:
            camera.target = np.array(self.look_at, dtype=np.float64)
        return rows, camera


INSIDE = Viewpoint()


def from_sensor(pos: np.ndarray, sensor: np.ndarray, width: int, height: int) -> Camera:
    """Return a camera at the sensor of a single scan that shows all of it, upright and as large as possible."""
    sample = pos[:: max(1, len(pos) // 60_000)]
    target = np.median(sample, axis=0).astype(np.float64)
    camera = Camera(eye=sensor, target=target, width=width, height=height)
    half = np.ones(2)
    for _ in range(3):
        local = (sample - sensor) @ camera.axes.T
        slopes = local[:, :2] / np.maximum(local[:, 2:], 1e-3)
        low, high = np.percentile(slopes, (0.5, 99.5), axis=0)
        camera.target = sensor + np.array([*(low + high) / 2, 1]) @ camera.axes
        half = (high - low) / 2
    slope = 1.04 * max(half[0], half[1] * width / height)
    camera.fov = float(np.degrees(2 * np.arctan(slope)))
    return camera


def from_corner(pos: np.ndarray, box: Box, width: int, height: int) -> Camera:
    """Return the best of several cameras near the corners of a room, see :func:`visibility`."""
    sample = pos[:: max(1, len(pos) // 20_000)]
    target = np.array([*box.center[:2], box.low[2] + min(1.1, 0.5 * box.size[2])])
    up = box.low[2] + min(EYE_HEIGHT, 0.6 * box.size[2])
    best, best_score = None, -1.0
    for inset in (0.08, 0.16, 0.26):
        for x in (inset, 1 - inset):
            for y in (inset, 1 - inset):
                eye = np.array([*(box.low + box.size * (x, y, 0))[:2], up])
                small = Camera(eye=eye, target=target, width=48, height=48 * height // width, fov=80)
                score = visibility(sample, small, floor=box.low[2])
                if score > best_score:
                    best, best_score = eye, score
    assert best is not None
    return Camera(eye=best, target=target, width=width, height=height, fov=80)


def visibility(pos: np.ndarray, camera: Camera, *, floor: float) -> float:
    """Score a camera: mean depth of its picture, less for empty and close pixels; 0 without floor below it."""
    aside = np.linalg.norm(pos[:, :2] - camera.eye[:2], axis=1)
    if not np.any((aside < 0.5) & (pos[:, 2] < floor + 0.3)):
        return 0.0
    distance = np.linalg.norm(pos - camera.eye, axis=1)
    crowded = min(np.mean(distance < 0.5) * 200, 0.9)
    _, depth = splat(pos, np.zeros(len(pos), dtype=np.float32), camera)
    depth = np.where(np.isfinite(depth) & (depth > 0.8), depth, 0)
    return float(np.minimum(depth, 6).mean() * (1 - crowded))


def from_above(box: Box, direction: np.ndarray, width: int, height: int) -> Camera:
    """Return a camera in ``direction`` from the box that just fits all of it into the picture."""
    direction = direction / np.linalg.norm(direction)
    corners = box.center + box.size * (np.indices((2, 2, 2)).reshape(3, 8).T - 0.5)
    target, distance = box.center, 2 * float(np.linalg.norm(box.size)) + 1
    camera = Camera(eye=target + direction * distance, target=target, width=width, height=height, fov=40)
    for _ in range(12):
        u, v, depth = camera.project(corners)
        right, down = (u - width / 2) * depth / camera.focal, (v - height / 2) * depth / camera.focal
        center = np.array([np.ptp(side) / 2 + side.min() for side in (right, down)])
        fill = max(
            np.abs(u - width / 2).max() / (0.48 * width), np.abs(v - height / 2).max() / (0.47 * height)
        )
        target = target + center @ camera.axes[:2]
        distance = max(distance * fill, 0.5)
        camera.eye, camera.target = target + direction * distance, target
    return camera


def below_ceiling(pos: np.ndarray) -> np.ndarray:
    """Return a mask ``(N,)`` of the points below the ceiling and the tops of the walls; all without a ceiling."""
    box = Box.around(pos)
    inside = (pos[:, :2] >= box.low[:2]).all(axis=1) & (pos[:, :2] <= box.high[:2]).all(axis=1)
    cells = np.floor((pos[:, :2] - box.low[:2]) / 0.3).astype(np.int64) @ np.array([1, 1 << 20])
    covered = np.unique(cells[inside])
    top = inside & (pos[:, 2] > box.high[2] - 0.15 * box.size[2])
    if box.size[2] < 1.8 or len(np.unique(cells[top])) < 0.5 * len(covered):
        return np.ones(len(pos), dtype=bool)
    return pos[:, 2] < box.low[2] + 0.72 * box.size[2]
