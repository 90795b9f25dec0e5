"""Pictures of points without a display: every point covers a few pixels, the nearest one is seen."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

LARGEST = 8
"""Pixels that a point reaches to each side at most."""
LARGEST_PATCH, LONELY_PATCH = 0.08, 0.03
"""Metres that a point is drawn wide at most, and one without neighbours, which may be noise."""
SPREAD = 1.6
"""Patches are wider than the mean distance of points, for points lie unevenly."""
FINEST_CELL = 0.01
"""Metres; cells up to sixteen times as large are looked at for the density of points."""
CHUNK = 2_000_000
"""Points drawn at a time; bounds the memory."""


@dataclass(kw_only=True)
class Camera:
    """A pinhole camera in metres with z up.

    Args:
        eye: Where it stands, ``(3,)``.
        target: The place in the middle of the picture, ``(3,)``.
        width: Pixels across.
        height: Pixels down.
        fov: Horizontal angle of view in degrees.
        up: The direction that is up in the picture.
        near: Metres in front of it within which points are not seen.
    """

    eye: np.ndarray
    target: np.ndarray
    width: int
    height: int
    fov: float = 60.0
    up: np.ndarray = field(default_factory=lambda: np.array([0.0, 0, 1]))
    near: float = 0.05

    @property
    def axes(self) -> np.ndarray:
        """Rows: right, down and forward in the scene."""
        forward = np.asarray(self.target, dtype=np.float64) - self.eye
        length = np.linalg.norm(forward)
        forward = forward / length if length > 1e-9 else np.array([0.0, 1, 0])
        right = np.cross(forward, self.up)
        if np.linalg.norm(right) < 1e-6:  # straight up or down
            right = np.cross(forward, (0.0, 1, 0))
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.width / 2 / np.tan(np.radians(self.fov) / 2)

    def project(self, pos: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixels to the right, pixels down, and depth in metres of points ``(N, 3)``."""
        right, down, depth = self.axes @ (pos - self.eye).T
        scale = self.focal / np.maximum(depth, 1e-9)
        return right * scale + self.width / 2, down * scale + self.height / 2, depth


def splat(pos: np.ndarray, size: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The nearest point in every pixel.

    Args:
        pos: ``(N, 3)`` float32 metres.
        size: Edge in metres ``(N,)`` of the patch that each point stands for.
        camera: The camera.

    Returns:
        Row of the point ``(H, W)`` int64, -1 where there is none; its depth ``(H, W)`` float32, infinite there.
    """
    stride = camera.width + 2 * LARGEST
    # depth in the upper bits, row in the lower: the minimum is the nearest point
    nothing = torch.iinfo(torch.int64).max
    buffer = torch.full(((camera.height + 2 * LARGEST) * stride,), nothing)
    for start in range(0, len(pos), CHUNK):
        part = slice(start, start + CHUNK)
        pixel, key, reach = footprints(pos[part], size[part], camera, stride=stride, first_row=start)
        for radius in range(LARGEST + 1):
            rows = (reach == radius).nonzero().squeeze(1)
            middle, value = pixel[rows], key[rows]
            for offset in disc(radius, stride) if len(rows) else ():
                buffer.scatter_reduce_(0, middle + offset, value, "amin")
    seen = buffer.view(-1, stride)[LARGEST:-LARGEST, LARGEST:-LARGEST]
    empty = seen == nothing
    depth = (seen >> 32).to(torch.int32).contiguous().view(torch.float32)
    row = (seen & 0xFFFFFFFF).masked_fill(empty, -1)
    return row.numpy(), depth.masked_fill(empty, torch.inf).numpy()


def footprints(
    pos: np.ndarray, size: np.ndarray, camera: Camera, *, stride: int, first_row: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixel, sort key and reach in pixels of the points that are in the picture."""
    axes = torch.from_numpy(camera.axes.astype(np.float32))
    seen = torch.from_numpy(np.ascontiguousarray(pos)) - torch.from_numpy(camera.eye.astype(np.float32))
    right, down, depth = (seen @ axes.T).unbind(dim=1)
    scale = camera.focal / depth.clamp(min=camera.near)
    u = (right * scale + camera.width / 2).floor() + LARGEST
    v = (down * scale + camera.height / 2).floor() + LARGEST
    reach = ((torch.from_numpy(np.ascontiguousarray(size)) * scale - 1) / 2).ceil().clamp(0, LARGEST)
    inside = (depth > camera.near) & (u >= reach) & (v >= reach)
    inside &= (u < stride - reach) & (v < camera.height + 2 * LARGEST - reach)
    rows = inside.nonzero().squeeze(1)
    pixel = v[rows].long() * stride + u[rows].long()
    # positive floats sort like their bits
    key = (depth[rows].view(torch.int32).long() << 32) | (rows + first_row)
    return pixel, key, reach[rows].to(torch.int8)


def disc(radius: int, stride: int) -> list[int]:
    """Offsets of the pixels within ``radius`` and a half of a pixel."""
    span = range(-radius, radius + 1)
    return [dy * stride + dx for dy in span for dx in span if dx * dx + dy * dy <= (radius + 0.5) ** 2]


def patch_size(pos: np.ndarray) -> np.ndarray:
    """Edge in metres ``(N,)`` of the patch of surface that each point stands for.

    A surface cuts a cell of edge c in about c x c, so n points there stand for c / sqrt(n) each. The finest cell
    with four points or more counts, for coarse ones are half empty where an object ends.
    """
    near = torch.from_numpy(np.ascontiguousarray(pos))
    grid = ((near - near.amin(dim=0)) / FINEST_CELL).long().clamp(max=(1 << 21) - 1)
    code, order = morton_code(grid).sort()
    size = torch.full((len(near),), LONELY_PATCH / SPREAD)
    for level in range(4, -1, -1):
        _, count = (code >> 3 * level).unique_consecutive(return_counts=True)
        count = count.repeat_interleave(count)
        size = torch.where(count >= (2 if level == 4 else 4), FINEST_CELL * 2**level / count.sqrt(), size)
    patch = torch.empty_like(size)
    patch[order] = (SPREAD * size).clamp(max=LARGEST_PATCH)
    return patch.numpy()


def morton_code(grid: Tensor) -> Tensor:
    """Cells ``(N, 3)`` of 21 bits as int64 with interleaved bits: the cell 2^k times as large is ``code >> 3k``."""
    code = torch.zeros(len(grid), dtype=torch.int64)
    for axis in range(3):
        bits = grid[:, axis]
        for shift, mask in ((32, 0x1F00000000FFFF), (16, 0x1F0000FF0000FF), (8, 0x100F00F00F00F00F),
                            (4, 0x10C30C30C30C30C3), (2, 0x1249249249249249)):  # fmt: skip
            bits = (bits | bits << shift) & mask
        code |= bits << axis
    return code


def without_holes(row: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give an empty pixel ``(H, W)`` amid five or more full ones what the nearest of them shows."""
    far = np.pad(depth, 1, constant_values=np.inf)
    height, width = depth.shape
    y, x = np.nonzero(row < 0)
    around = np.stack([far[y + dy, x + dx] for dy in range(3) for dx in range(3)])
    filled = np.isfinite(around).sum(axis=0) >= 5
    y, x, choice = y[filled], x[filled], around.argmin(axis=0)[filled]
    from_y = np.clip(y + choice // 3 - 1, 0, height - 1)
    from_x = np.clip(x + choice % 3 - 1, 0, width - 1)
    row, depth = row.copy(), depth.copy()
    row[y, x], depth[y, x] = row[from_y, from_x], depth[from_y, from_x]
    return row, depth


def shaded(color: np.ndarray, depth: np.ndarray, *, strength: float = 6.0) -> np.ndarray:
    """Darken pixels ``(H, W, 3)`` behind their neighbours, so that edges show (eye-dome lighting)."""
    far = np.log2(np.pad(depth, 2, mode="edge"))
    behind = np.zeros(depth.shape, dtype=np.float32)
    for dy, dx in ((0, 2), (4, 2), (2, 0), (2, 4)):
        beside = far[dy : dy + depth.shape[0], dx : dx + depth.shape[1]]
        with np.errstate(invalid="ignore"):
            gap = far[2:-2, 2:-2] - beside
        # slopes are no edges, and what has nothing behind it needs none
        behind += np.where(np.isfinite(gap), np.clip(gap - 0.04, 0, 0.3), 0)
    light = np.maximum(np.exp(-strength * behind), 0.35)
    return (color * light[:, :, None]).astype(np.uint8)
