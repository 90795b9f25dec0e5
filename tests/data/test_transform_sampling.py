"""Transforms that select points keep the rows of all arrays together."""

from dataclasses import replace

import numpy as np
import pytest

from pcseg.data.sample import Sample
from pcseg.data.transforms import GridSample, RandomDropout, SphereCrop, Transform
from pcseg.labels import IGNORE_INDEX


def sample(num_points: int = 3000) -> Sample:
    """Return a sample whose labels, instances and colors are the numbers of the points, to detect mixed rows."""
    rng = np.random.default_rng(0)
    number = np.arange(num_points)
    pos = rng.uniform(0, [4, 3, 2], (num_points, 3)).astype(np.float32)
    color = np.repeat(number[:, None], 3, axis=1).astype(np.float32)
    return Sample(name="room", pos=pos, color=color, label=number, instance=number, normal=-pos)


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


ALL = [RandomDropout(p=1), GridSample(grid_size=0.2), SphereCrop(max_points=700)]


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_rows_stay_together(transform: Transform) -> None:
    before, after = sample(), transform(sample(), rng())
    assert 0 < after.num_points < before.num_points
    kept = after.label
    assert len(np.unique(kept)) == len(kept)
    assert (after.pos == before.pos[kept]).all()
    assert (after.normal == before.normal[kept]).all()
    assert (after.color[:, 0] == kept).all()
    assert (after.instance == kept).all()
    assert (transform(sample(), rng()).label == kept).all()
    assert transform(sample(1), rng()).num_points == 1


def test_dropout_share_and_probability() -> None:
    assert abs(RandomDropout(p=1, ratio=0.25)(sample(), rng()).num_points / 3000 - 0.75) < 0.03
    generator = np.random.default_rng(0)
    changed = [RandomDropout(p=0.3, ratio=0.5)(sample(10), generator).num_points < 10 for _ in range(300)]
    assert 0.2 < np.mean(changed) < 0.4
    assert RandomDropout(p=1, ratio=1)(sample(10), rng()).num_points == 10


def test_grid_sample_keeps_one_point_per_voxel() -> None:
    after = GridSample(grid_size=0.2)(sample(), rng())
    assert len(np.unique(after.grid_pos, axis=0)) == after.num_points
    assert after.grid_pos.dtype == np.int32
    cells = np.floor(sample().pos.astype(np.float64) / 0.2).astype(int)
    assert after.num_points == len(np.unique(cells, axis=0))
    assert (after.grid_pos == np.floor(after.pos.astype(np.float64) / 0.2) - cells.min(axis=0)).all()


def test_sphere_crop_keeps_the_nearest_points() -> None:
    gridded = GridSample(grid_size=0.1)(sample(), rng())
    after = SphereCrop(max_points=200)(gridded, rng())
    assert after.num_points == 200
    assert after.grid_pos.min(axis=0).tolist() == [0, 0, 0]
    dropped = gridded.pos[~np.isin(gridded.label, after.label)]
    # for some point, all other points of the crop are nearer than any dropped point
    far = np.linalg.norm(after.pos[:, None] - after.pos, axis=2).max(axis=1)
    near = np.linalg.norm(after.pos[:, None] - dropped, axis=2).min(axis=1)
    assert (far <= near + 1e-6).any()
    assert SphereCrop(max_points=5000)(gridded, rng()) is gridded


def test_crops_around_a_random_class_show_rare_classes_as_often() -> None:
    rare = 7
    label = np.where(np.arange(3000) == rare, 1, 0)  # one point of class 1
    label[:5] = IGNORE_INDEX
    cloud = replace(sample(), label=label)
    generator = np.random.default_rng(0)
    crops = [SphereCrop(max_points=1, center="class")(cloud, generator).label[0] for _ in range(200)]
    assert 0.4 < np.mean(crops) < 0.6
    assert min(crops) == 0, "points without a class are never the center"
    unlabeled = replace(cloud, label=np.full(3000, IGNORE_INDEX))
    assert SphereCrop(max_points=9, center="class")(unlabeled, generator).num_points == 9
