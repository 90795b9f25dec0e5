"""Back-project predictions of camera frames onto points: projection with a depth test, averaged over frames."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pcseg.data.images.files import read_indices
from pcseg.errors import UserError

MILLIMETERS_PER_METER = 1000.0


@dataclass(frozen=True, kw_only=True)
class CameraFrame:
    """One frame of a scan in ScanNet's layout.

    Args:
        color: Color image file.
        depth: Meters along the optical axis, ``(H, W)`` float32; 0 where nothing was measured.
        pose: Camera-to-world matrix, ``(4, 4)`` float64: x right, y down, z forward.
        depth_matrix, color_matrix: Intrinsics of the two images, ``(3, 3)``.
    """

    color: Path
    depth: np.ndarray
    pose: np.ndarray
    depth_matrix: np.ndarray
    color_matrix: np.ndarray


class VisiblePoints(NamedTuple):
    """Points that a frame sees: their rows ``(M,)`` int64, and column and row of their pixels in its color image.

    Some pixels may lie outside the image.
    """

    frame: CameraFrame
    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray


class PointScores(NamedTuple):
    """Back-projected scores of the points of a scene.

    ``scores`` ``(N, K)`` float32 has the mean over the frames that see a point, 0 without any; ``views`` ``(N,)`` has
    the number of these frames.
    """

    scores: np.ndarray
    views: np.ndarray

    @property
    def covered(self) -> np.ndarray:
        """Mask of the points that a frame sees, ``(N,)`` bool."""
        return self.views > 0


def read_frames(folder: Path) -> Iterator[CameraFrame]:
    """Yield the frames of a scene that have a pose, in order.

    Raises:
        UserError: There are no frames, or as :func:`read_frame`.
    """
    files = sorted(folder.glob("color/*.jpg"))
    if not files:
        raise UserError(f"{folder}: no color/*.jpg found. Render frames with 'pcseg prepare frames'.")
    yield from filter(None, map(read_frame, files))


def read_frame(color: Path) -> CameraFrame | None:
    """Read the frame with the color image ``<scene>/color/<name>.jpg``; ``None`` if its pose was lost.

    Raises:
        UserError: Pose, intrinsics or depth image are missing or damaged.

    Convention:
        ScanNet writes infinite poses where tracking was lost.
    """
    folder = color.parent.parent
    matrices = [_read_matrix(folder / f"intrinsics_{part}.txt") for part in ("depth", "color")]
    pose = _read_matrix(folder / "pose" / f"{color.stem}.txt", sizes=(4,))
    if not np.isfinite(pose).all():
        return None
    return CameraFrame(
        color=color,
        depth=read_indices(folder / "depth" / f"{color.stem}.png").astype(np.float32) / MILLIMETERS_PER_METER,
        pose=pose,
        depth_matrix=matrices[0][:3, :3],
        color_matrix=matrices[1][:3, :3],
    )


def find_visible_points(frames: Iterable[CameraFrame], pos: np.ndarray) -> Iterator[VisiblePoints]:
    """Yield the points ``(N, 3)`` that each frame sees, see :func:`visible_rows`; frames that see none are skipped."""
    for frame in frames:
        rows = visible_rows(frame, pos)
        if len(rows):
            u, v, _ = project(pos[rows], frame.pose, frame.color_matrix)
            x, y = np.rint(u).astype(np.int64), np.rint(v).astype(np.int64)
            yield VisiblePoints(frame, rows, x, y)


def back_project(
    visible: Iterable[VisiblePoints],
    score: Callable[[CameraFrame], np.ndarray],
    *,
    num_points: int,
    num_classes: int,
) -> PointScores:
    """Return the mean score of the pixels that show each point.

    ``score`` returns the scores ``(K, h, w)`` of a frame, at the size of its color image.

    Convention:
        All frames have the same weight. A pixel whose scores are all 0 does not count as a view.
    """
    total = np.zeros((num_points, num_classes), np.float32)
    views = np.zeros(num_points, np.int32)
    for points in visible:
        scores = score(points.frame)
        x, y = points.x, points.y
        inside = (x >= 0) & (x < scores.shape[2]) & (y >= 0) & (y < scores.shape[1])
        rows, found = points.rows[inside], scores[:, y[inside], x[inside]].T
        scored = found.any(axis=1)
        total[rows[scored]] += found[scored]
        views[rows[scored]] += 1
    return PointScores(total / np.maximum(views, 1)[:, None], views)


def project(
    pos: np.ndarray, pose: np.ndarray, matrix: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return column, row and depth ``(N,)`` of points in a camera image.

    Convention:
        The center of the upper left pixel is (0, 0). Points behind the camera have a negative depth.
    """
    local = (pos.astype(np.float64) - pose[:3, 3]) @ pose[:3, :3]
    z = local[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = matrix[0, 0] * local[:, 0] / z + matrix[0, 2]
        v = matrix[1, 1] * local[:, 1] / z + matrix[1, 2]
    return u, v, z


def visible_rows(frame: CameraFrame, pos: np.ndarray, *, tolerance: float = 0.03) -> np.ndarray:
    """Return the rows of the points that a frame sees: their depth equals the depth of their pixel.

    Args:
        pos: Points in the world coordinates of the poses, ``(N, 3)`` meters.
        tolerance: Allowed difference in meters between the depths of point and pixel, for the noise of the scan.

    Convention:
        On a slanted surface the depth changes within a pixel. The smaller of the changes to the two neighbors in
        each direction is allowed in addition to ``tolerance``. At the edge of an object this is the slant of the
        object, never the step to the background.
    """
    u, v, z = project(pos, frame.pose, frame.depth_matrix)
    height, width = frame.depth.shape
    with np.errstate(invalid="ignore"):
        inside = (z > 0.05) & (u > -0.5) & (u < width - 0.5) & (v > -0.5) & (v < height - 0.5)
    rows = np.flatnonzero(inside)
    x, y = np.rint(u[rows]).astype(np.int64), np.rint(v[rows]).astype(np.int64)
    measured = frame.depth[y, x]
    allowed = tolerance + 0.5 * _slant(frame.depth)[y, x]
    return rows[(measured > 0) & (np.abs(z[rows] - measured) <= allowed)]


def _slant(depth: np.ndarray) -> np.ndarray:
    """Return the change of depth between neighbors, summed over both directions, ``(H, W)``; holes are skipped."""
    depth = np.where(depth > 0, depth, np.nan)
    total = np.zeros_like(depth)
    for image, sums in ((depth, total), (depth.T, total.T)):
        step = np.abs(np.diff(image, axis=0, prepend=np.nan, append=np.nan))
        sums += np.nan_to_num(np.fmin(step[:-1], step[1:]))
    return total


def _read_matrix(path: Path, *, sizes: tuple[int, ...] = (4, 3)) -> np.ndarray:
    try:
        matrix = np.loadtxt(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable matrix ({error}). Render the frames again.") from error
    if matrix.shape not in [(size, size) for size in sizes]:
        raise UserError(f"{path}: a matrix of shape {matrix.shape}, expected 4 x 4. Render the frames again.")
    return matrix
