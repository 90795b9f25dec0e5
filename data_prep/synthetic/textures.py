"""Procedural surface colors: each texture maps points on a surface to colors, all at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Patch:
    """Points to color, of any number of surfaces that share a texture.

    Attributes:
        local: ``(n, 3)`` meters in the frame of the object.
        uv: ``(n, 2)`` meters in the plane of the surface: the two axes of ``local`` across its normal.
        color, accent: ``(n, 3)`` the material's two colors, 0..1.
        scale: ``(n,)`` meters, size of the pattern.
        seed: ``(n,)`` uint32, one number per surface.
    """

    local: np.ndarray
    uv: np.ndarray
    color: np.ndarray
    accent: np.ndarray
    scale: np.ndarray
    seed: np.ndarray


Texture = Callable[[Patch], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Material:
    """Appearance of a surface: texture, two colors (0..1), scale in meters, share of lost returns.

    Only generated buildings use ``glow``, light that it emits, and ``gloss``, strength of its highlights.
    """

    texture: Texture
    color: tuple[float, float, float]
    accent: tuple[float, float, float] = (0.2, 0.2, 0.2)
    scale: float = 0.1
    dropout: float = 0.0
    glow: float = 0.0
    gloss: float = 0.0


def _hash(x: np.ndarray, y: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Return a random number in [0, 1) per integer cell, the same for the same cell and seed."""
    h = x.astype(np.int64).astype(np.uint32) * np.uint32(0x9E3779B1)
    h ^= y.astype(np.int64).astype(np.uint32) * np.uint32(0x85EBCA77)
    h ^= seed * np.uint32(0xC2B2AE3D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return (h >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)


def _noise(x: np.ndarray, y: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Return smooth noise in [-1, 1] with features of size 1."""
    fx, fy = np.floor(x), np.floor(y)
    tx, ty = x - fx, y - fy
    tx, ty = tx * tx * (3 - 2 * tx), ty * ty * (3 - 2 * ty)
    near = _hash(fx, fy, seed) * (1 - tx) + _hash(fx + 1, fy, seed) * tx
    far = _hash(fx, fy + 1, seed) * (1 - tx) + _hash(fx + 1, fy + 1, seed) * tx
    return 2 * (near * (1 - ty) + far * ty) - 1


def _line(x: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """Return whether ``x`` is within ``width`` of an integer."""
    return np.abs(x - np.rint(x)) < width


def _mix(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    return a + (b - a) * share[:, None]


def paint(p: Patch) -> np.ndarray:
    """Color painted plaster: slightly uneven brightness, fine roughness."""
    u, v = (p.uv / 0.9).T
    fine = _hash(np.floor(p.uv[:, 0] * 90), np.floor(p.uv[:, 1] * 90), p.seed) - 0.5
    return p.color * (1 + 0.05 * _noise(u, v, p.seed) + 0.03 * fine)[:, None]


def wood(p: Patch) -> np.ndarray:
    """Color grain along the first axis of the surface."""
    u, v = p.uv.T
    bend = _noise(u * 1.5, v * 5, p.seed)
    rings = 0.5 + 0.5 * np.sin((v / p.scale + 1.5 * bend) * 6.3)
    fibre = _noise(u * 8, v * 160, p.seed)
    return _mix(p.color, p.accent, 0.55 * rings + 0.25 * (fibre > 0.3)) * (1 + 0.06 * fibre)[:, None]


def tiles(p: Patch) -> np.ndarray:
    """Color square tiles of ``scale`` with joints in the accent color, each tile a little different."""
    u, v = p.uv.T / p.scale
    tile = _hash(np.floor(u), np.floor(v), p.seed)
    stain = _noise(u * 3, v * 3, p.seed)
    color = p.color * (0.95 + 0.09 * tile + 0.03 * stain)[:, None]
    joint = _line(u, 0.007 / p.scale) | _line(v, 0.007 / p.scale)
    return np.where(joint[:, None], p.accent, color)


def planks(p: Patch) -> np.ndarray:
    """Color floorboards, ``scale`` wide and eight times as long."""
    v = p.uv[:, 1] / p.scale
    row = np.floor(v)
    u = p.uv[:, 0] / (8 * p.scale) + _hash(row, row, p.seed)
    board = _hash(np.floor(u), row, p.seed)
    fibre = _noise(p.uv[:, 0] * 6, p.uv[:, 1] * 120, p.seed)
    color = _mix(p.color, p.accent, 0.6 * board) * (1 + 0.08 * fibre)[:, None]
    return color * np.where(_line(v, 0.02) | _line(u, 0.003), 0.7, 1.0)[:, None]


def carpet(p: Patch) -> np.ndarray:
    """Color short pile: strong fine noise between the two colors."""
    fine = _hash(np.floor(p.uv[:, 0] * 140), np.floor(p.uv[:, 1] * 140), p.seed)
    return _mix(p.color, p.accent, 0.5 * fine) * (1 + 0.06 * _noise(*(p.uv / 0.5).T, p.seed))[:, None]


def fabric(p: Patch) -> np.ndarray:
    """Color woven cloth with bright folds."""
    weave = 0.5 + 0.5 * np.sin(p.local[:, 0] * 300) * np.sin((p.local[:, 1] + p.local[:, 2]) * 300)
    fold = _noise(*(p.uv / 0.12).T, p.seed)
    return _mix(p.color, p.accent, 0.25 * weave) * (1 + 0.1 * fold)[:, None]


def metal(p: Patch) -> np.ndarray:
    """Color brushed metal or smooth plastic."""
    return p.color * (1 + 0.06 * _noise(p.uv[:, 0] * 4, p.uv[:, 1] * 150, p.seed))[:, None]


def books(p: Patch) -> np.ndarray:
    """Color spines of books side by side along x, another row per shelf (``scale`` apart)."""
    shelf = np.floor(p.local[:, 2] / p.scale)
    place = p.local[:, 0] / 0.035 + 0.5 * _noise(p.local[:, 0] * 9, shelf, p.seed)
    book = np.floor(place)
    tint = np.stack([_hash(book, shelf + 17 * k, p.seed) for k in range(3)], axis=-1)
    color = 0.12 + 0.75 * tint * (0.4 + 0.6 * _hash(book, shelf + 99, p.seed))[:, None]
    label = _line(p.local[:, 2] / p.scale - 0.35, 0.05) & (_hash(book, shelf + 5, p.seed) > 0.5)
    color = np.where(label[:, None], 0.8, color)
    return color * np.where(_line(place, 0.1), 0.45, 1.0)[:, None]


def ink(p: Patch) -> np.ndarray:
    """Color a writing board with some lines of text left on it."""
    u, v = p.uv.T
    line = np.floor(v / 0.11)
    used = _hash(line, line, p.seed) > 0.55
    word = _hash(np.floor(u / 0.16), line, p.seed) > 0.4
    stroke = np.abs(v / 0.11 - line - 0.5 + 0.2 * np.sin(u * 90) + 0.2 * _noise(u * 40, line, p.seed)) < 0.09
    smear = 0.03 * _noise(u * 2, v * 5, p.seed)
    return np.where((used & word & stroke)[:, None], p.accent, p.color * (1 + smear)[:, None])


def slats(p: Patch) -> np.ndarray:
    """Color blinds or grilles: stripes of ``scale`` across the second axis."""
    stripe = 0.5 + 0.5 * np.sin(p.uv[:, 1] / p.scale * 6.3)
    return _mix(p.color, p.accent, 0.35 * stripe)


def sky(p: Patch) -> np.ndarray:
    """Color a pane with outdoor brightness: lighter above, dark shapes low down."""
    height = np.clip(p.uv[:, 1] / 2, 0, 1)
    trees = _noise(p.uv[:, 0] * 1.5, p.uv[:, 1] * 2, p.seed) * 0.5 + 0.5
    outside = _mix(p.accent * (0.6 + 0.4 * trees)[:, None], p.color, np.clip(height * 2.2 - 0.3, 0, 1))
    return outside * (1 + 0.04 * _noise(*(p.uv * 3).T, p.seed))[:, None]


def speckle(p: Patch) -> np.ndarray:
    """Color terrazzo, stone or cork: grains of both colors."""
    u, v = p.uv.T / 0.03
    grain = _noise(u, v, p.seed)
    cloud = _noise(*(p.uv / 0.6).T, p.seed)
    return _mix(p.color, p.accent, np.clip(2.5 * grain - 0.8, 0, 1) * 0.7) * (1 + 0.05 * cloud)[:, None]


def picture(p: Patch) -> np.ndarray:
    """Color a poster or a screen: bright patches on the base color."""
    u, v = np.floor(p.uv.T / p.scale)
    tint = np.stack([_hash(u + 31 * k, v, p.seed) for k in range(3)], axis=-1)
    return np.where((_hash(u, v + 7, p.seed) > 0.45)[:, None], 0.2 + 0.5 * tint, p.color)
