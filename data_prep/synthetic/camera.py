"""Render upright camera views that together cover a room, from positions above free floor."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from data_prep.synthetic.lighting import compress_bright, look
from data_prep.synthetic.model import RoomModel
from data_prep.synthetic.scanner import choose_stations

CLEARANCE = 0.25
"""Minimum distance of a lens from surfaces in meters."""

NEAR = 0.9
"""Minimum distance in meters to the object in the center of a view: a wall up close shows nothing."""

LOWEST, HIGHEST = np.radians(-38.0), np.radians(28.0)
"""Limits of the pitch of a view."""

TURNS = 10
"""Number of directions to try per position."""

CELL = 0.2
"""Edge in meters of the cells in which the coverage of views is counted."""


@dataclass(frozen=True, kw_only=True)
class Lens:
    """A pinhole camera.

    Args:
        width, height: Of the picture in pixels.
        focal: Focal length in pixels, the same in both directions.

    Convention:
        Pixel (0, 0) is the upper left one and its *center* has the coordinates (0, 0), as in ScanNet; the axis
        goes through the middle of the picture. In the frame of the camera x is right, y down, z forward.
    """

    width: int
    height: int
    focal: float

    @property
    def center(self) -> tuple[float, float]:
        return (self.width - 1) / 2, (self.height - 1) / 2

    @property
    def matrix(self) -> np.ndarray:
        """``(4, 4)``, as ScanNet stores it."""
        matrix = np.eye(4)
        matrix[0, 0] = matrix[1, 1] = self.focal
        matrix[:2, 2] = self.center
        return matrix

    def rays(self, *, step: int = 1) -> np.ndarray:
        """Return directions ``(H, W, 3)`` float32 with z = 1 through every ``step``-th pixel."""
        first = (step - 1) / 2
        u, v = np.arange(first, self.width, step), np.arange(first, self.height, step)
        x, y = np.meshgrid((u - self.center[0]) / self.focal, (v - self.center[1]) / self.focal)
        return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class View:
    """The view of a camera: ``color`` (H, W, 3) uint8, ``depth`` (H, W) meters along the axis, ``instance`` (H, W).

    Where a ray leaves the room depth is 0 and the instance -1.
    """

    color: np.ndarray
    depth: np.ndarray
    instance: np.ndarray


def upright_pose(eye: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Return the camera-to-world matrix ``(4, 4)`` of a view along ``yaw`` (from x to y) and ``pitch`` (up).

    Convention:
        Without roll: the x axis of the camera is level, so objects are upright in the picture.
    """
    forward = [np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)]
    right = [np.sin(yaw), -np.cos(yaw), 0.0]
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([right, np.cross(forward, right), forward])
    pose[:3, 3] = eye
    return pose


def choose_poses(
    model: RoomModel, lens: Lens, *, count: int, rng: np.random.Generator, threads: int = 0
) -> list[np.ndarray]:
    """Choose ``count`` upright poses, each for the surfaces that the earlier ones do not see."""
    poses = [pose for place in _free_places(model, rng, threads) for pose in _around(place, rng)]
    seen, clear = [], []
    for pose in poses:
        rays = world_rays(lens, pose, step=lens.width // 40)
        distance = model.cast(pose[:3, 3], rays, threads=threads).distance
        depth = np.where(np.isfinite(distance), distance, 0)
        clear.append(np.median(depth) > NEAR)
        seen.append(np.floor((pose[:3, 3] + depth[:, None] * rays)[depth > 0] / CELL).astype(np.int64))
    cells = np.concatenate(seen)
    cells -= cells.min(axis=0)
    _, cell = np.unique(cells @ [1, 1 << 20, 1 << 40], return_inverse=True)
    table = np.zeros((len(poses), cell.max() + 1), bool)
    table[np.repeat(np.arange(len(poses)), [len(part) for part in seen]), cell] = True
    chosen: list[int] = []
    fresh = np.ones(table.shape[1], bool)
    for _ in range(count):
        gain = (table & fresh).sum(axis=1) + np.where(clear, 0, -(10**9))
        gain[chosen] = -(10**10)
        best = int(gain.argmax())
        chosen.append(best)
        fresh &= ~table[best]
    return [poses[index] for index in chosen]


def _free_places(model: RoomModel, rng: np.random.Generator, threads: int) -> np.ndarray:
    """Return positions above free floor with :data:`CLEARANCE` around the lens, the best ones if there are none."""
    places = np.concatenate([choose_stations(model, rng) for _ in range(3)])
    directions = rng.normal(size=(200, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    gap = np.array([model.cast(place, directions, threads=threads).distance.min() for place in places])
    free = gap > CLEARANCE
    return places[free] if free.any() else places[gap.argsort()[-1:]]


def _around(place: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Return poses at a position: in all directions, each at a low, a middle and a high pitch."""
    start = rng.uniform(0, 2 * np.pi)
    limits = np.linspace(LOWEST, HIGHEST, 4)
    return [
        upright_pose(place, start + turn * 2 * np.pi / TURNS, float(rng.uniform(low, high)))
        for turn in range(TURNS)
        for low, high in pairwise(limits)
    ]


def world_rays(lens: Lens, pose: np.ndarray, *, step: int = 1) -> np.ndarray:
    """Return the rays of a lens at a pose in the room, ``(n, 3)`` float32."""
    return lens.rays(step=max(step, 1)).reshape(-1, 3) @ pose[:3, :3].T.astype(np.float32)


def take_view(
    model: RoomModel,
    pose: np.ndarray,
    lens: Lens,
    *,
    exposure: float,
    rng: np.random.Generator,
    threads: int = 0,
) -> View:
    """Render the view of a camera at ``pose``.

    Convention:
        Depth and instance are those of the ray through the center of a pixel; color is blurred a little, as by
        any lens, so edges are mixed.
    """
    depth, surface, color = _look(model, pose, lens, rng, threads)
    color = compress_bright(_blurred(color) * exposure * rng.normal(1, 0.05) * rng.normal(1, 0.015, 3))
    color += rng.normal(0, 0.012, (*color.shape[:2], 1))
    instance = np.where(surface >= 0, model.surface_instance[np.maximum(surface, 0)], -1)
    return View(np.clip(np.rint(color * 255), 0, 255).astype(np.uint8), depth, instance.astype(np.int32))


def _look(
    model: RoomModel,
    pose: np.ndarray,
    lens: Lens,
    rng: np.random.Generator,
    threads: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return depth, surface and reflected light of every pixel."""
    shape = (lens.height, lens.width)
    hits, found, place, reflected = look(model, pose[:3, 3], world_rays(lens, pose), rng, threads)
    light = np.zeros((lens.height * lens.width, 3), np.float32)
    light[found] = reflected
    surface = hits.surface.reshape(shape)
    light = _soften(light.reshape(*shape, 3), surface).reshape(-1, 3)
    color = np.ones_like(light)  # daylight where a ray leaves the room
    color[found] = model.albedo(place, hits.normal[found], hits.surface[found]) * light[found]
    depth = np.where(hits.surface >= 0, hits.distance, 0).astype(np.float32)
    return depth.reshape(shape), surface, color.reshape(*shape, 3)


def _blurred(color: np.ndarray) -> np.ndarray:
    """Spread a quarter of every pixel to its two neighbors, along rows and then along columns."""
    for axis in (0, 1):
        padded = np.pad(color, [(1, 1) if axis == i else (0, 0) for i in range(3)], mode="edge")
        size = color.shape[axis]
        before, after = padded.take(range(size), axis), padded.take(range(2, size + 2), axis)
        color = 0.75 * color + 0.125 * (before + after)
    return color


def _soften(light: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """Average the light over 5 × 5 pixels of the same surface, to reduce the noise of soft shadows."""
    for axis in (0, 1):
        total, count = light.copy(), np.ones((*surface.shape, 1), np.float32)
        for shift in (-2, -1, 1, 2):
            same = np.roll(surface, shift, axis) == surface
            edge = [slice(None), slice(None)]
            edge[axis] = slice(0, shift) if shift > 0 else slice(shift, None)
            same[tuple(edge)] = False  # wrapped around from the other side of the picture
            total += np.where(same[..., None], np.roll(light, shift, axis), 0)
            count += same[..., None]
        light = total / count
    return light
