"""Rays of any sensor become returns: range limits, lost returns, mixed pixels at edges, errors of the pose."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from data_prep.synthetic.model import RoomModel

Range = tuple[float, float]
"""Limits of a value that every scan draws log-uniformly."""


@dataclass(frozen=True)
class Scene:
    """A building to scan, labeled with the indoor taxonomy.

    Per room, ``spots`` are positions ``(n, 3)`` on free floor for a sensor, ``ceilings`` heights in meters.
    """

    model: RoomModel
    spots: list[np.ndarray]
    ceilings: list[float]


@dataclass(frozen=True)
class Shots:
    """Rays of ``s`` poses: ``eye`` (s, 3), unit ``direction`` (s, rows, columns, 3), ``error`` (s, 3) of the pose."""

    eye: np.ndarray
    direction: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class Returns:
    """Measured points.

    Attributes:
        pos: ``(n, 3)`` as measured, meters.
        hit: ``(n, 3)`` where the ray met a surface, which gives the color.
        normal: ``(n, 3)`` unit vectors towards the sensor.
        surface: ``(n,)`` index of the surface, -1 for strays.
        distance: ``(n,)`` to the sensor in meters.
        shot: ``(n,)`` index of the pose.
    """

    pos: np.ndarray
    hit: np.ndarray
    normal: np.ndarray
    surface: np.ndarray
    distance: np.ndarray
    shot: np.ndarray

    def __len__(self) -> int:
        return len(self.pos)

    def __getitem__(self, rows: np.ndarray) -> Self:
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, kw_only=True)
class Ranging:
    """How a sensor measures distances.

    Args:
        least, most: Range in meters.
        mixed: Share of the returns at an edge that lie between it and its background.
        gap: Largest step in meters over which returns mix.
        grazing: Cosine below which returns are lost.
        levels: Number of steps of 1 / distance at 1 m that the sensor distinguishes; 0: no steps.
        ghosts: Share of the rays that leave the building and return from something outside.
    """

    least: float = 0.3
    most: float = 30.0
    mixed: float = 0.2
    gap: float = 1.5
    grazing: float = 0.08
    levels: int = 0
    ghosts: float = 0.0


def draw(rng: np.random.Generator, limits: Range) -> float:
    """Return a log-uniform value between two limits."""
    return float(np.exp(rng.uniform(*np.log(limits))))


def measure(
    scene: Scene, shots: Shots, ranging: Ranging, rng: np.random.Generator, *, threads: int = 1
) -> Returns:
    """Cast the rays of all shots and return what the sensor measures of them."""
    model, shape = scene.model, shots.direction.shape[:3]
    direction = shots.direction.reshape(-1, 3)
    eye = np.repeat(shots.eye, shape[1] * shape[2], axis=0)
    hits = model.cast(eye, direction, threads=threads)
    distance, surface = hits.distance.astype(np.float64), hits.surface.copy()
    out = (surface < 0) & (rng.random(len(surface)) < ranging.ghosts)
    distance[out] = rng.uniform(4, 25, out.sum())  # trees and houses behind the window
    lost = _lost(model, surface, np.einsum("ij,ij->i", hits.normal, direction), ranging.grazing, rng)
    measured, partner = _mix(distance.reshape(shape), ranging, rng)
    if ranging.levels:
        disparity = np.rint(ranging.levels / measured + rng.uniform(-0.5, 0.5, len(measured)))
        measured = ranging.levels / np.maximum(disparity, 1)
    seen = np.isfinite(distance) & ~lost & (measured > ranging.least) & (measured < ranging.most)
    rows = np.flatnonzero(seen)
    shot = rows // (shape[1] * shape[2])
    pos = eye[rows] + measured[rows, None] * direction[rows] + shots.error[shot]
    near = partner[rows]  # a mixed return looks like the nearer of the two
    hit = eye[near] + distance[near, None] * direction[near]
    return Returns(pos, hit, hits.normal[near], surface[near], measured[rows], shot)


def _lost(
    model: RoomModel, surface: np.ndarray, cosine: np.ndarray, grazing: float, rng: np.random.Generator
) -> np.ndarray:
    dropout = np.array([*(material.dropout for material in model.materials), 0.0])[surface]
    slant = np.where(surface < 0, 1.0, np.clip(np.abs(cosine) / grazing, 0.1, 1))
    return rng.random(len(surface)) > (1 - dropout) * slant


def _mix(distance: np.ndarray, ranging: Ranging, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return measured distances and the ray whose surface each return shows, both flat."""
    flat = distance.ravel()
    rays = np.arange(len(flat)).reshape(distance.shape)
    across = np.concatenate([rays[:, :, 1:], rays[:, :, -1:]], axis=2).ravel()
    along = np.concatenate([rays[:, 1:], rays[:, -1:]], axis=1).ravel()
    partner = np.where(rng.random(len(flat)) < 0.5, across, along)
    both = np.isfinite(flat) & np.isfinite(flat[partner])
    gap = np.where(both, flat[partner], 0) - np.where(both, flat, 0)
    # a wall seen at a flat angle also jumps from ray to ray, but in proportion to its distance
    edge = both & (np.abs(gap) > 0.03 + 0.06 * np.where(both, flat, 0)) & (np.abs(gap) < ranging.gap)
    edge &= rng.random(len(flat)) < ranging.mixed
    weight = np.where(edge, rng.random(len(flat)), 0)
    return flat + weight * gap, np.where(weight > 0.5, partner, rays.ravel())
