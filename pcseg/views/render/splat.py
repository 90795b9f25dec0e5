"""Splatting renderer without a display: every point covers a few pixels, and the nearest point is visible.

Open3D's offscreen renderer is not used because it needs OpenGL or Vulkan drivers, which servers often lack.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pcseg.ops.serialization import spread_bits, z_code

MAX_REACH = 8
"""Maximum number of pixels that a point covers to each side."""
MAX_PATCH, ISOLATED_PATCH = 0.08, 0.03
"""Largest width of a drawn point in meters, and that of a point without neighbors, which may be noise."""
OVERLAP = 1.6
"""Patches are wider than the mean distance of points, because points are spaced unevenly."""
FINEST_CELL = 0.01
"""Meters; the density of points is measured in cells of this size and up to sixteen times as large."""
CHUNK = 2_000_000
"""Points per drawing step; limits memory."""


@dataclass(kw_only=True)
class Camera:
    """A pinhole camera in meters with z up.

    Args:
        eye, target: Positions of the camera and in the center of the picture, ``(3,)``.
        width, height: Size of the picture in pixels.
        fov: Horizontal field of view in degrees.
        up: Direction that is up in the picture.
        near: Points closer than this many meters are not drawn.
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
        """Right, down and forward directions as rows."""
        forward = np.asarray(self.target, dtype=np.float64) - self.eye
        length = np.linalg.norm(forward)
        forward = forward / length if length > 1e-9 else np.array([0.0, 1, 0])
        right = np.cross(forward, self.up)
        if np.linalg.norm(right) < 1e-6:  # looking straight up or down
            right = np.cross(forward, (0.0, 1, 0))
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.width / 2 / np.tan(np.radians(self.fov) / 2)

    def project(self, pos: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return column and row in pixels and depth in meters of points ``(N, 3)``."""
        right, down, depth = self.axes @ (pos - self.eye).T
        scale = self.focal / np.maximum(depth, 1e-9)
        return right * scale + self.width / 2, down * scale + self.height / 2, depth


def splat(pos: np.ndarray, size: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest point in every pixel, for square patches of edge ``size`` ``(N,)`` around points.

    Row of the point ``(H, W)`` int64, -1 for none; its depth ``(H, W)`` float32, infinite for none.
    """
    stride = camera.width + 2 * MAX_REACH
    # depth in the upper bits, row in the lower bits: the minimum is the nearest point
    nothing = torch.iinfo(torch.int64).max
    buffer = torch.full(((camera.height + 2 * MAX_REACH) * stride,), nothing)
    for start in range(0, len(pos), CHUNK):
        part = slice(start, start + CHUNK)
        pixel, key, reach = footprints(pos[part], size[part], camera, stride=stride, first_row=start)
        for radius in range(MAX_REACH + 1):
            rows = (reach == radius).nonzero().squeeze(1)
            center, value = pixel[rows], key[rows]
            for offset in disc(radius, stride) if len(rows) else ():
                buffer.scatter_reduce_(0, center + offset, value, "amin")
    nearest = buffer.view(-1, stride)[MAX_REACH:-MAX_REACH, MAX_REACH:-MAX_REACH]
    empty = nearest == nothing
    depth = (nearest >> 32).to(torch.int32).contiguous().view(torch.float32)
    row = (nearest & 0xFFFFFFFF).masked_fill(empty, -1)
    return row.numpy(), depth.masked_fill(empty, torch.inf).numpy()


def footprints(
    pos: np.ndarray, size: np.ndarray, camera: Camera, *, stride: int, first_row: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return pixel, sort key and reach in pixels of the points inside the picture."""
    axes = torch.from_numpy(camera.axes.astype(np.float32))
    local = torch.from_numpy(np.ascontiguousarray(pos)) - torch.from_numpy(camera.eye.astype(np.float32))
    right, down, depth = (local @ axes.T).unbind(dim=1)
    scale = camera.focal / depth.clamp(min=camera.near)
    u = (right * scale + camera.width / 2).floor() + MAX_REACH
    v = (down * scale + camera.height / 2).floor() + MAX_REACH
    reach = ((torch.from_numpy(np.ascontiguousarray(size)) * scale - 1) / 2).ceil().clamp(0, MAX_REACH)
    inside = (depth > camera.near) & (u >= reach) & (v >= reach)
    inside &= (u < stride - reach) & (v < camera.height + 2 * MAX_REACH - reach)
    rows = inside.nonzero().squeeze(1)
    pixel = v[rows].long() * stride + u[rows].long()
    # positive floats sort like their bits
    key = (depth[rows].view(torch.int32).long() << 32) | (rows + first_row)
    return pixel, key, reach[rows].to(torch.int8)


def disc(radius: int, stride: int) -> list[int]:
    """Return the offsets of the pixels within ``radius + 0.5`` pixels."""
    span = range(-radius, radius + 1)
    return [dy * stride + dx for dy in span for dx in span if dx * dx + dy * dy <= (radius + 0.5) ** 2]


def patch_size(pos: np.ndarray) -> np.ndarray:
    """Return the edge length in meters ``(N,)`` of the surface patch that each point represents.

    A surface cuts a cell of edge c in an area of about c x c, so n points in the cell represent c / sqrt(n) each.
    The finest cell with at least four points counts, because coarse cells are half empty at object borders.
    """
    code, order = cell_code(pos).sort()
    size = torch.full((len(code),), ISOLATED_PATCH / OVERLAP)
    for level in range(4, -1, -1):
        _, count = (code >> 3 * level).unique_consecutive(return_counts=True)
        count = count.repeat_interleave(count)
        size = torch.where(count >= (2 if level == 4 else 4), FINEST_CELL * 2**level / count.sqrt(), size)
    patch = torch.empty_like(size)
    patch[order] = (OVERLAP * size).clamp(max=MAX_PATCH)
    return patch.numpy()


def cell_code(pos: np.ndarray) -> Tensor:
    """Return z-order codes of the finest cells; ``code >> 3k`` is the code of the cell 2^k times as large.

    Codes cover 655 m around the median; points outside, which are outliers, share the cells at the border.
    """
    points = torch.from_numpy(np.ascontiguousarray(pos))
    middle = points[:: max(1, len(points) // 10_000)].median(dim=0).values
    return z_code(
        spread_bits(((points - middle) / FINEST_CELL).long().add_(1 << 15).clamp_(0, (1 << 16) - 1))
    )


def fill_holes(row: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill empty pixels ``(H, W)`` that have at least five filled neighbors with the nearest neighbor."""
    padded = np.pad(depth, 1, constant_values=np.inf)
    height, width = depth.shape
    y, x = np.nonzero(row < 0)
    around = np.stack([padded[y + dy, x + dx] for dy in range(3) for dx in range(3)])
    filled = np.isfinite(around).sum(axis=0) >= 5
    y, x, choice = y[filled], x[filled], around.argmin(axis=0)[filled]
    from_y = np.clip(y + choice // 3 - 1, 0, height - 1)
    from_x = np.clip(x + choice % 3 - 1, 0, width - 1)
    row, depth = row.copy(), depth.copy()
    row[y, x], depth[y, x] = row[from_y, from_x], depth[from_y, from_x]
    return row, depth


def eye_dome_light(depth: np.ndarray) -> np.ndarray:
    """Return a factor in (0, 1] per pixel ``(H, W)`` that darkens pixels behind their neighbors, to show edges."""
    log_depth = np.log2(np.pad(depth, 2, mode="edge"))
    behind = np.zeros(depth.shape, dtype=np.float32)
    for dy, dx in ((0, 2), (4, 2), (2, 0), (2, 4)):
        neighbor = log_depth[dy : dy + depth.shape[0], dx : dx + depth.shape[1]]
        with np.errstate(invalid="ignore"):
            gap = log_depth[2:-2, 2:-2] - neighbor
        # slopes are not edges, and pixels in front of an empty background need no edge
        behind += np.where(np.isfinite(gap), np.clip(gap - 0.04, 0, 0.3), 0)
    return np.maximum(np.exp(-6 * behind), 0.35)
