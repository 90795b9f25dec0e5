"""Back-projection: geometry of a single camera, occlusion, and true labels of frames on the points of a scan."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pcseg.data.images.files import read_indices
from pcseg.errors import UserError
from pcseg.evaluation.backprojection import (
    CameraFrame,
    back_project,
    find_visible_points,
    project,
    read_frames,
    visible_rows,
)
from pcseg.labels import S3DIS

pytestmark = pytest.mark.slow

MATRIX = np.array([[20.0, 0, 9.5], [0, 20.0, 7.5], [0, 0, 1]])


def camera(depth: np.ndarray, pose: np.ndarray | None = None) -> CameraFrame:
    return CameraFrame(
        color=Path("c"), depth=depth.astype(np.float32),
        pose=np.eye(4) if pose is None else pose, depth_matrix=MATRIX, color_matrix=MATRIX,
    )  # fmt: skip


def test_projection_is_the_inverse_of_the_rays() -> None:
    rng = np.random.default_rng(0)
    pose = np.eye(4)
    pose[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    pose[:3, 3] = rng.normal(size=3)
    x, y, z = rng.integers(0, 20, 50), rng.integers(0, 16, 50), rng.uniform(0.5, 4, 50)
    rays = np.stack([(x - 9.5) / 20, (y - 7.5) / 20, np.ones(50)], axis=1)
    world = (rays * z[:, None]) @ pose[:3, :3].T + pose[:3, 3]
    u, v, depth = project(world, pose, MATRIX)
    np.testing.assert_allclose(np.stack([u, v, depth]), np.stack([x, y, z]), atol=1e-9)


def test_hidden_points_are_not_visible() -> None:
    depth = np.full((16, 20), 3.0)
    depth[:, :10] = 1.0  # a near object in the left half
    depth[0] = 0.0  # nothing measured
    pos = np.array(
        [
            [0.6, 0, 3.0],  # on the wall
            [-0.6, 0, 3.0],  # behind the near object
            [-0.2, 0, 1.0],  # on the near object
            [0.6, 0, 1.5],  # in front of the wall, where the depth image shows free space
            [0.6, 0, -3.0],  # behind the camera
            [9.0, 0, 3.0],  # outside the image
            [0.6, -7.5 / 20 * 3, 3.0],  # no depth there
            [0.6, 0, 3.02],  # noise of the scan
        ],
        np.float32,
    )
    assert visible_rows(camera(depth), pos, tolerance=0.03).tolist() == [0, 2, 7]


def test_a_slanted_floor_is_visible_between_pixel_centers() -> None:
    """Points on a plane at a grazing angle are visible; a strict comparison of depths loses most of them."""
    rng = np.random.default_rng(0)
    rows = np.arange(16)
    depth = np.where(rows > 9, 0.5 / np.maximum((rows - 7.5) / 20, 1e-3), 0)[:, None].repeat(20, axis=1)
    u, v = rng.uniform(0, 19, 400), rng.uniform(10.6, 14.4, 400)
    z = 0.5 / ((v - 7.5) / 20)
    pos = np.stack([(u - 9.5) / 20 * z, np.full(400, 0.5), z], axis=1).astype(np.float32)
    assert len(visible_rows(camera(depth), pos, tolerance=0.01)) > 350
    strict = np.abs(z - depth[np.rint(v).astype(int), 0]) <= 0.01
    assert strict.sum() < 100


def test_a_hole_in_the_depth_image_is_not_a_slant() -> None:
    """A measured pixel between two holes of the sensor must not extend the tolerance by half its depth."""
    depth = np.zeros((16, 20))
    depth[:, 10] = depth[5] = 1.0
    ray = np.array([0.5 / 20, 0, 1])  # through the center of a column between holes
    pos = np.stack([z * ray for z in (1.0, 1.02, 1.2, 0.8)]).astype(np.float32)
    assert visible_rows(camera(depth), pos, tolerance=0.03).tolist() == [0, 1]


def test_scores_are_averaged_over_the_frames_that_have_them() -> None:
    pos = np.array([[0.0, 0, 2.0], [0.6, 0, 2.0], [50, 0, 2.0]], np.float32)
    scores = [np.zeros((2, 16, 20), np.float32) for _ in range(2)]
    scores[0][0] = 1.0
    scores[1][1, :, :12] = 1.0
    frames = [camera(np.full((16, 20), 2.0)) for _ in scores]
    answers = iter(scores)
    scored = back_project(
        find_visible_points(frames, pos), lambda frame: next(answers), num_points=3, num_classes=2
    )
    assert scored.views.tolist() == [2, 1, 0]
    assert scored.covered.tolist() == [True, True, False]
    np.testing.assert_allclose(scored.scores, [[0.5, 0.5], [1, 0], [0, 0]])


@pytest.fixture(scope="module")
def rooms_and_frames(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return scanned and prepared rooms of a rotated building, and their frames."""
    pytest.importorskip("open3d")
    from data_prep import frames, rooms, s3dis

    folder = tmp_path_factory.mktemp("frames")
    rooms.generate(
        folder / "raw", areas=1, rooms=2, points=12_000, workers=1, layout="nonaligned", yaw=90, seed=3
    )
    s3dis.prepare(folder / "raw", folder / "rooms", workers=1)
    frames.take_frames(folder / "raw", folder / "frames", frames=5, width=200, height=150, workers=1)
    return folder / "rooms", folder / "frames"


def test_true_labels_are_back_projected_onto_the_points(rooms_and_frames: tuple[Path, Path]) -> None:
    """At least 99 % of the covered points whose neighbors within 5 cm have their class are correct."""
    from scipy.spatial import cKDTree

    from pcseg.data.scenes import read_scene

    rooms, frames = rooms_and_frames
    scenes = sorted(rooms.rglob("*.h5"))
    assert len(scenes) == 2
    for path in scenes:
        scene = read_scene(path)
        pos, label = np.array(scene.pos), np.array(scene.label)

        def truth(frame: CameraFrame) -> np.ndarray:
            raw = read_indices(frame.color.parents[1] / "label" / f"{frame.color.stem}.png")
            return (raw - 1 == np.arange(S3DIS.num_classes)[:, None, None]).astype(np.float32)

        seen = find_visible_points(read_frames(frames / path.parent.name / path.stem), pos)
        scored = back_project(seen, truth, num_points=len(pos), num_classes=13)
        assert scored.covered.mean() > 0.6
        near = cKDTree(pos).query_ball_point(pos, 0.05)
        interior = np.array([(label[rows] == label[row]).all() for row, rows in enumerate(near)])
        correct = scored.scores.argmax(1) == label
        assert correct[scored.covered & interior].mean() >= 0.99
        assert correct[scored.covered].mean() >= 0.97


def test_missing_and_damaged_frames_are_errors(rooms_and_frames: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no color/\*\.jpg found"):
        list(read_frames(tmp_path))
    for part in ("color", "pose"):
        (tmp_path / part).mkdir()
    (tmp_path / "color" / "000000.jpg").touch()
    with pytest.raises(UserError, match=r"intrinsics_depth\.txt: not a readable matrix"):
        list(read_frames(tmp_path))
    scene = next(path for path in (rooms_and_frames[1] / "Area_1").iterdir())
    for name in ("intrinsics_color.txt", "intrinsics_depth.txt"):
        (tmp_path / name).write_text((scene / name).read_text())
    lost = tmp_path / "pose" / "000000.txt"
    lost.write_text("-inf -inf -inf -inf\n" * 4)
    assert list(read_frames(tmp_path)) == [], "lost poses of ScanNet are skipped"
    lost.write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    with pytest.raises(UserError, match=r"000000\.png: no such file"):
        list(read_frames(tmp_path))
    (tmp_path / "depth").mkdir()
    Image.fromarray(np.zeros((16, 20, 3), np.uint8)).save(tmp_path / "depth" / "000000.png")
    with pytest.raises(UserError, match=r"000000\.png: .*colo"):
        list(read_frames(tmp_path))
    lost.write_text("1 0 0\n0 1 0\n0 0 1\n")
    with pytest.raises(UserError, match=r"000000\.txt: a matrix of shape \(3, 3\), expected 4 x 4"):
        list(read_frames(tmp_path))
