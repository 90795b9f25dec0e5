"""What frames say about the points that they see: projection with a depth test, averaged over the views."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pcseg.errors import UserError

MILLIMETRES = 1000.0


@dataclass(frozen=True, kw_only=True)
class CameraFrame:
    """One frame of a scan in ScanNet's layout.

    Args:
        color: File of the colours.
        label: File of the labels; it need not exist.
        depth: Metres along the axis of the camera, ``(H, W)`` float32; 0 where nothing was measured.
        pose: Camera-to-world matrix, ``(4, 4)`` float64: x right, y down, z forward.
        depth_matrix, color_matrix: Intrinsics of the two pictures, ``(3, 3)``.
    """

    color: Path
    label: Path
    depth: np.ndarray
    pose: np.ndarray
    depth_matrix: np.ndarray
    color_matrix: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """The points that a frame sees, and the pixels of its colours that show them.

    Args:
        frame: The frame.
        rows: Rows of the points, ``(M,)`` int64.
        x, y: Column and row of a pixel for each of them, ``(M,)`` int64; some may lie outside the picture.
    """

    frame: CameraFrame
    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Carried:
    """What frames say about points.

    Args:
        scores: Mean of the scores of the views of each point, ``(N, K)`` float32; 0 where there is none.
        views: How many frames see each point, ``(N,)``.
    """

    scores: np.ndarray
    views: np.ndarray

    @property
    def covered(self) -> np.ndarray:
        """Points that a frame sees, ``(N,)`` bool."""
        return self.views > 0


def read_frames(folder: Path) -> Iterator[CameraFrame]:
    """The frames of a scene that have a pose, in order.

    Raises:
        UserError: No frames, no intrinsics, a pose or a depth picture that cannot be read.

    Convention:
        ScanNet writes poses that tracking lost as infinite numbers: such frames are left out.
    """
    matrices = _read_intrinsics(folder)
    files = sorted(folder.glob("color/*.jpg"))
    if not files:
        raise UserError(f"{folder}: holds no color/*.jpg; take frames with python -m data_prep.frames")
    for color in files:
        frame = _read_frame(color, *matrices)
        if frame is not None:
            yield frame


def read_frame(color: Path) -> CameraFrame:
    """The frame whose colours are ``<scene>/color/<name>.jpg``.

    Raises:
        UserError: As :func:`read_frames`, or its pose was lost.
    """
    frame = _read_frame(color, *_read_intrinsics(color.parent.parent))
    if frame is None:
        raise UserError(f"{color}: the scanner lost the pose of this frame; choose another")
    return frame


def _read_intrinsics(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Of colours and of depth."""
    color, depth = (_read_matrix(folder / f"intrinsics_{part}.txt") for part in ("color", "depth"))
    return color[:3, :3], depth[:3, :3]


def _read_frame(color: Path, color_matrix: np.ndarray, depth_matrix: np.ndarray) -> CameraFrame | None:
    """A frame, or ``None`` for a lost pose."""
    folder = color.parent.parent
    pose = _read_matrix(folder / "pose" / f"{color.stem}.txt", sizes=(4,))
    if not np.isfinite(pose).all():
        return None
    return CameraFrame(
        color=color,
        label=folder / "label" / f"{color.stem}.png",
        depth=_read_depth(folder / "depth" / f"{color.stem}.png"),
        pose=pose,
        depth_matrix=depth_matrix,
        color_matrix=color_matrix,
    )


def sightings(
    frames: Iterable[CameraFrame], pos: np.ndarray, *, tolerance: float = 0.03
) -> Iterator[Sighting]:
    """What each frame sees of a scene; frames that see nothing are left out.

    Args:
        frames: Where pictures were taken from.
        pos: Points in the coordinates of the poses, ``(N, 3)`` metres.
        tolerance: Metres by which point and depth may differ; noise of the scan.
    """
    for frame in frames:
        rows = visible(frame, pos, tolerance=tolerance)
        if len(rows):
            u, v, _ = project(pos[rows], frame.pose, frame.color_matrix)
            yield Sighting(
                frame=frame, rows=rows, x=np.rint(u).astype(np.int64), y=np.rint(v).astype(np.int64)
            )


def carry(
    seen: Iterable[Sighting],
    score: Callable[[CameraFrame], np.ndarray],
    *,
    num_points: int,
    num_classes: int,
) -> Carried:
    """Mean scores of the pixels that show each point.

    Args:
        seen: What the frames see of a scene.
        score: Scores ``(K, h, w)`` of a frame, at the size of its colours.
        num_points: N.
        num_classes: K.

    Convention:
        Every view counts alike. A pixel whose scores are all 0 says nothing: it is no view.
    """
    total = np.zeros((num_points, num_classes), np.float32)
    views = np.zeros(num_points, np.int32)
    for sighting in seen:
        scores = score(sighting.frame)
        x, y = sighting.x, sighting.y
        inside = (x >= 0) & (x < scores.shape[2]) & (y >= 0) & (y < scores.shape[1])
        rows, said = sighting.rows[inside], scores[:, y[inside], x[inside]].T
        says = said.any(axis=1)
        total[rows[says]] += said[says]
        views[rows[says]] += 1
    return Carried(total / np.maximum(views, 1)[:, None], views)


def project(
    pos: np.ndarray, pose: np.ndarray, matrix: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column, row and depth ``(N,)`` of points in a camera.

    Convention:
        The centre of the upper left pixel is (0, 0). Points behind the camera have a negative depth.
    """
    local = (pos.astype(np.float64) - pose[:3, 3]) @ pose[:3, :3]
    z = local[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = matrix[0, 0] * local[:, 0] / z + matrix[0, 2]
        v = matrix[1, 1] * local[:, 1] / z + matrix[1, 2]
    return u, v, z


def visible(frame: CameraFrame, pos: np.ndarray, *, tolerance: float) -> np.ndarray:
    """Rows of the points that a frame sees: their depth is that of the pixel they fall into.

    Convention:
        On a slanted surface depth changes inside a pixel. The smaller of the changes to the two neighbours in
        each direction is allowed besides ``tolerance``: at the edge of a thing that is the thing's own slant,
        never the step to what is behind it.
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
    """Change of depth from a pixel to the next, summed over both directions, ``(H, W)``; holes are no neighbours."""
    depth = np.where(depth > 0, depth, np.nan)
    total = np.zeros_like(depth)
    for axis in (0, 1):
        step = np.abs(np.diff(depth, axis=axis))
        ends = (
            [(1, 0) if axis == i else (0, 0) for i in range(2)],
            [(0, 1) if axis == i else (0, 0) for i in range(2)],
        )
        before, after = (np.pad(step, end, constant_values=np.nan) for end in ends)
        total += np.nan_to_num(np.fmin(before, after))
    return total


def _read_matrix(path: Path, *, sizes: tuple[int, ...] = (4, 3)) -> np.ndarray:
    try:
        matrix = np.loadtxt(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a matrix ({error}); take the frames again") from error
    if matrix.shape not in [(size, size) for size in sizes]:
        raise UserError(f"{path}: a matrix of shape {matrix.shape}, expected 4 x 4; take the frames again")
    return matrix


def _read_depth(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            depth = np.asarray(image).astype(np.float32) / MILLIMETRES
    except (OSError, SyntaxError) as error:
        raise UserError(f"{path}: no depth picture ({error}); take the frames again") from error
    if depth.ndim != 2:
        raise UserError(f"{path}: holds colours, not one depth a pixel; take the frames again")
    return depth
