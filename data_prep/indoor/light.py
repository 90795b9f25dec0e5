"""Colors of a cloud: lamps and windows with shadows, highlights, exposure, color casts, clipping and noise."""

from dataclasses import dataclass

import numpy as np

from data_prep.indoor.returns import Range, Returns, draw
from data_prep.synthetic.model import RoomModel
from data_prep.synthetic.textures import sky

NEAR_LAMPS = 3
"""Lamps that light a point: those with the shortest way to it."""

CORNER = 0.45
"""Meters within which other surfaces keep ambient light away."""

SUN = np.array([1.0, 0.93, 0.8])
"""Color of sunlight."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How a sensor records color.

    Args:
        exposure: Factor of the brightness; 1 records a white surface in mean light as 0.85.
        contrast: Power of the brightness about its middle.
        cast: Standard deviation of the factors of red and blue.
        warm: Mean logarithm of red over blue, of lamps that the camera does not correct.
        saturation: Factor of the distance to gray.
        noise: Standard deviation of the luminance of a point.
        uneven: Standard deviation of the exposure between poses.
        blown: Share of scans whose brightest points are clipped hard instead of compressed.
        sun: Share of scans in sunlight, which enters through panes that face it.
    """

    exposure: Range = (0.65, 1.8)
    contrast: Range = (0.65, 1.05)
    cast: float = 0.035
    warm: float = 0.04
    saturation: Range = (0.75, 1.45)
    noise: Range = (0.03, 0.085)
    uneven: float = 0.03
    blown: float = 0.6
    sun: float = 0.5

    def record(
        self, model: RoomModel, cloud: Returns, eye: np.ndarray, rng: np.random.Generator, *, threads: int = 1
    ) -> np.ndarray:
        """Return colors ``(n, 3)`` uint8; ``eye`` (s, 3) are the poses. Strays get the color of any point."""
        met = cloud.surface >= 0
        seen = cloud[np.flatnonzero(met)]
        light = _light(model, seen, eye[seen.shot], rng, threads)
        tables = np.array([(m.glow, m.gloss) for m in model.materials], np.float32)[seen.surface]
        diffuse, gleam = light[:, :3] / max(float(light[:, :3].mean()), 1e-3), light[:, 3]
        if rng.random() < self.sun:
            diffuse += _sunlight(model, seen, rng, threads)[:, None] * SUN
        albedo = model.albedo(seen.hit, seen.normal, seen.surface)
        color = albedo * (diffuse + tables[:, :1]) + (tables[:, 1] * gleam)[:, None]
        exposure = 0.85 * draw(rng, self.exposure) * np.exp(rng.normal(0, self.uneven, len(eye)))
        tint = np.exp(
            rng.normal(0, self.cast, 3) * [1, 0.3, 1] + self.warm * rng.random() * np.array([1, 0, -1])
        )
        color = color * exposure[seen.shot, None] * tint
        gray = color.mean(axis=1, keepdims=True)
        color = gray + draw(rng, self.saturation) * (color - gray)
        color = 0.45 * (np.maximum(color, 0) / 0.45) ** draw(rng, self.contrast)
        if rng.random() >= self.blown:
            color = np.minimum(color, 0.75) + 0.25 * (1 - np.exp(-np.maximum(color - 0.75, 0) / 0.25))
        sigma = draw(rng, self.noise)
        color += rng.normal(0, sigma, (len(color), 1)) + rng.normal(0, sigma / 3, color.shape)
        result = np.empty((len(cloud), 3), np.uint8)
        result[met] = np.clip(np.rint(color * 255), 0, 255)
        if len(seen):
            result[~met] = result[np.flatnonzero(met)[rng.integers(len(seen), size=int((~met).sum()))]]
        return result


def _light(
    model: RoomModel, cloud: Returns, eye: np.ndarray, rng: np.random.Generator, threads: int
) -> np.ndarray:
    """Return diffuse light by channel and the strength of highlights, ``(n, 4)``."""
    from scipy.spatial import cKDTree

    start = cloud.hit + 0.01 * cloud.normal
    light = np.zeros((len(start), 4))
    number = min(NEAR_LAMPS, len(model.lamps))
    lamps = cKDTree(model.lamps).query(start, k=number)[1].reshape(len(start), number)
    back = eye - start
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    spread = (rng.random(start.shape) - 0.5) * [0.5, 0.5, 0.05]
    for lamp in lamps.T:
        ray = model.lamps[lamp] + spread - start
        away = np.linalg.norm(ray, axis=1)
        free = ~model.blocked(start, ray, 0.95, threads=threads)
        facing = np.maximum(np.einsum("ij,ij->i", cloud.normal, ray) / away, 0)
        light[:, :3] += (free * facing / (1 + np.square(away / 2.5)))[:, None] * model.lamp_colors[lamp]
        half = ray / away[:, None] + back
        half /= np.linalg.norm(half, axis=1, keepdims=True) + 1e-9
        light[:, 3] += free * np.maximum(np.einsum("ij,ij->i", cloud.normal, half), 0) ** 120
    open_air = np.zeros(len(start))
    for _ in range(2):
        ray = rng.normal(size=start.shape)
        ray = cloud.normal * 1.01 + ray / np.linalg.norm(ray, axis=1, keepdims=True)
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        open_air += 0.5 * ~model.blocked(start, ray, CORNER, threads=threads)
    # a ceiling sees no lamp but the lit floor
    ambient = 0.35 + 0.2 * open_air + 0.12 * np.clip(-cloud.normal[:, 2], 0, 1)
    light[:, :3] += (
        ambient[:, None] * model.lamp_colors.mean(axis=0) / max(float(model.lamp_colors.mean()), 1e-3)
    )
    return light


def _sunlight(model: RoomModel, cloud: Returns, rng: np.random.Generator, threads: int) -> np.ndarray:
    """Return the light ``(n,)`` of a random sun that reaches points through panes, as a multiple of the mean light."""
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(15, 60))
    strength = draw(rng, (1.5, 6.0))
    sun = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    panes = np.array([*(material.texture is sky for material in model.materials), False])
    facing = cloud.normal @ sun
    rows = np.flatnonzero((facing > 0) & ~panes[cloud.surface]) if panes.any() else np.empty(0, np.int64)
    light = np.zeros(len(cloud))
    if len(rows):
        start = cloud.hit[rows] + 0.01 * cloud.normal[rows]
        through = panes[model.cast(start, np.broadcast_to(sun, start.shape), threads=threads).surface]
        light[rows] = strength * facing[rows] * through
    return light
