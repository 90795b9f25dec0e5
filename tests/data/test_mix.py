"""Mix3D merges two samples into one cloud."""

import numpy as np
import pytest
import torch

from pcseg.data.collate import Collate, mix, to_data
from pcseg.data.rooms import with_height
from pcseg.data.sample import Sample
from pcseg.data.transforms import GridSample, SphereCrop
from pcseg.losses.cloud_classes import class_frequency, class_presence

GRID = 0.1


def sample(seed: int, *, offset: tuple[float, float, float] = (0, 0, 0), normals: bool = True) -> Sample:
    rng = np.random.default_rng(seed)
    pos = (rng.uniform(0, [3, 2, 2], (2000, 3)) + offset).astype(np.float32)
    # label and color identify the sample, so that rows can be traced
    raw = Sample(
        name=f"room_{seed}",
        pos=pos,
        color=np.full((2000, 3), seed, np.uint8),
        label=np.full(2000, seed, np.int16),
        instance=rng.integers(-1, 4, 2000).astype(np.int32),
        normal=pos if normals else None,
    )
    cropped = SphereCrop(max_points=900)(GridSample(grid_size=GRID)(with_height(raw, ()), rng), rng)
    assert cropped.grid_pos is not None
    return cropped


def test_voxels_are_unique_and_belong_to_the_positions() -> None:
    first, second = sample(1, offset=(50.03, -7.77, 0.02)), sample(2, offset=(-4.4, 9.1, 0.31))
    merged = mix(first, second, np.random.default_rng(0), grid_size=GRID)
    assert merged.grid_pos is not None
    assert merged.grid_pos.dtype == np.int32
    assert merged.grid_pos.min(axis=0).tolist() == [0, 0, 0]
    assert len(np.unique(merged.grid_pos, axis=0)) == merged.num_points
    inside = merged.pos / GRID - merged.grid_pos  # constant up to the position in the voxel
    assert np.ptp(inside, axis=0).max() < 1 + 1e-3
    assert 1000 < merged.num_points <= first.num_points + second.num_points


def test_both_samples_are_centered_and_keep_their_rows() -> None:
    first, second = sample(1, offset=(50.03, -7.77, 0.02)), sample(2, offset=(-4.4, 9.1, 0.31))
    merged = mix(first, second, np.random.default_rng(0), grid_size=GRID)
    shift = first.instance.max() + 1
    for part, label in ((first, 1), (second, 2)):
        mine = merged.label == label
        assert (merged.color[mine] == label).all()
        center = (merged.pos[mine].min(axis=0) + merged.pos[mine].max(axis=0)) / 2
        assert np.abs(center[:2]).max() < 2 * GRID
        rows = np.array([np.argmin(np.abs(part.normal - row).sum(axis=1)) for row in merged.normal[mine]])
        assert (merged.height[mine] == part.height[rows]).all()
        moved = merged.pos[mine] - part.pos[rows]
        assert np.ptp(moved, axis=0).max() < 1e-4
        assert np.abs(moved[:, 2]).max() == 0
        expected = part.instance[rows]
        expected = np.where((expected >= 0) & (label == 2), expected + shift, expected)
        assert (merged.instance[mine] == expected).all()


def test_both_samples_keep_half_of_the_shared_voxels() -> None:
    first, second = sample(1), sample(1)
    second = Sample(**{**vars(second), "label": second.label + 1})
    merged = mix(first, second, np.random.default_rng(0), grid_size=GRID)
    assert merged.num_points == first.num_points, "the same voxels twice"
    assert 0.4 < (merged.label == 1).mean() < 0.6


def test_normals_are_kept_only_if_both_samples_have_them() -> None:
    assert mix(sample(1), sample(2, normals=False), np.random.default_rng(0), grid_size=GRID).normal is None


@pytest.mark.parametrize(("count", "graphs"), [(2, 1), (3, 2), (4, 2)])
def test_batches_are_mixed_in_pairs(count: int, graphs: int) -> None:
    samples = [sample(i) for i in range(count)]
    mixing = Collate(features=("color", "height", "pos"), grid_size=GRID, mix_prob=1.0)
    batch = mixing([(part, np.random.default_rng(0)) for part in samples])
    assert batch.num_graphs == graphs
    assert batch.scene[0] == "room_0+room_1"
    assert batch.scene[-1] == ("room_2" if count == 3 else f"room_{count - 2}+room_{count - 1}")
    for graph in batch.to_data_list():
        assert len(np.unique(graph.grid_pos, axis=0)) == graph.num_nodes
    own_ground = np.concatenate([part.height for part in samples])
    assert np.isin(batch.x[:, 3].numpy(), own_ground).all()


def test_targets_of_a_mixed_batch_are_those_of_the_merged_clouds() -> None:
    samples = [sample(i) for i in range(4)]
    batch = Collate(features=("height",), grid_size=GRID, mix_prob=1.0)(
        [(part, np.random.default_rng(0)) for part in samples]
    )
    present = class_presence(batch.y, batch.ptr, 5)
    assert present.tolist() == [[True, True, False, False, False], [False, False, True, True, False]]
    frequency = class_frequency(batch.y, batch.ptr, 5)
    for row, graph in zip(frequency, batch.to_data_list()):
        torch.testing.assert_close(row, graph.y.bincount(minlength=5) / graph.num_nodes, check_dtype=False)


def test_batches_are_mixed_with_the_given_probability() -> None:
    samples = [sample(i) for i in range(2)]
    mixing = Collate(features=("height",), grid_size=GRID, mix_prob=0.3)
    graphs = [mixing([(part, np.random.default_rng(i)) for part in samples]).num_graphs for i in range(100)]
    assert 0.15 < graphs.count(1) / 100 < 0.45


def test_fields_of_a_batch() -> None:
    part = sample(3)
    data = to_data(part, ["color", "height"])
    assert data.x.shape == (part.num_points, 4)
    assert data.x.dtype == data.pos.dtype
    assert str(data.grid_pos.dtype) == "torch.int32"
    assert str(data.y.dtype) == "torch.int64"
    np.testing.assert_allclose(data.x[:, 3].numpy(), part.height, atol=1e-5)
    batch = Collate(features=("color",), grid_size=GRID)([(part, np.random.default_rng(0))] * 2)
    assert batch.ptr.tolist() == [0, part.num_points, 2 * part.num_points]
    assert batch.batch.bincount().tolist() == [part.num_points] * 2
