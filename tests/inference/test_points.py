"""Whole-scene predictions with tiny models whose answers are known."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.models import FEATURES, ConvModel, PointModel, features_of
from helpers.models import sample_room as room
from torch import nn
from torch_geometric.data import Batch, Data

from pcseg.backbones.contract import batch_voxels
from pcseg.backbones.points.sparse_unet import SparseUNet
from pcseg.data.sample import Sample
from pcseg.data.voxels import group_by_voxel
from pcseg.errors import UserError
from pcseg.heads.base import HeadOutput
from pcseg.inference.points import PointOptions, Prediction, most_fragments, predict_scene
from pcseg.inference.tta import SINGLE_PASS, SceneTransform
from pcseg.ops.voxels import VoxelSet


def predict(
    model: nn.Module,
    sample: Sample,
    *,
    grid_size: float = 0.2,
    passes: Sequence[SceneTransform] = SINGLE_PASS,
    on_progress: Callable[[float], None] | None = None,
    **options: Any,
) -> Prediction:
    return predict_scene(
        model,
        sample,
        grid_size=grid_size,
        features=FEATURES,
        options=PointOptions(**{"fragments": "all", **options}),
        passes=passes,
        probabilities=True,
        on_progress=on_progress,
    )


def test_each_point_is_predicted_from_its_own_features() -> None:
    model, sample = PointModel(), room()
    prediction = predict(model, sample)
    with torch.no_grad():
        expected = model.linear(features_of(sample)).softmax(1)
    assert prediction.probability is not None
    np.testing.assert_allclose(prediction.probability, expected.numpy(), atol=1e-6)
    assert np.array_equal(prediction.label, expected.argmax(1).numpy())
    np.testing.assert_allclose(prediction.confidence, expected.amax(1).numpy(), atol=1e-6)
    assert prediction.label.dtype == np.int16
    assert prediction.confidence.dtype == np.float32


def test_scores_are_averaged_over_the_fragments_that_contain_a_point() -> None:
    """Compare with the published protocol, one fragment at a time, for a model that uses neighbors."""
    model, sample = ConvModel(), room()
    groups = group_by_voxel(sample.pos, 0.2)
    total = torch.zeros(sample.num_points, 5)
    for number in range(groups.num_fragments):
        rows = groups.pick(number)
        data = Data(x=features_of(sample, rows), grid_pos=torch.from_numpy(groups.grid_pos))
        with torch.no_grad():
            total[rows] += model(Batch.from_data_list([data])).logits.softmax(1)
    prediction = predict(model, sample)
    expected = total / total.sum(1, keepdim=True)
    np.testing.assert_allclose(prediction.probability, expected.numpy(), atol=1e-5)


def test_a_limited_number_of_fragments_predicts_voxels() -> None:
    model, sample = ConvModel(), room()
    prediction = predict(model, sample, fragments=1)
    groups = group_by_voxel(sample.pos, 0.2)
    data = Data(x=features_of(sample, groups.pick(0)), grid_pos=torch.from_numpy(groups.grid_pos))
    with torch.no_grad():
        expected = model(Batch.from_data_list([data])).logits.softmax(1)[groups.inverse]
    np.testing.assert_allclose(prediction.probability, expected.numpy(), atol=1e-5)
    assert len(model.rows) == 2
    predict(model, sample, fragments=3)
    assert len(model.rows) == 5


def test_blocks_with_enough_context_equal_the_whole_scene() -> None:
    model, sample = ConvModel(), room()
    whole = predict(model, sample, fragments=1)
    assert whole.probability is not None
    model.rows.clear()
    cut = predict(model, sample, fragments=1, points_per_pass=400, margin=0.2)
    assert max(model.rows) <= 400
    np.testing.assert_allclose(cut.probability, whole.probability, atol=1e-5)
    without_context = predict(model, sample, fragments=1, points_per_pass=400, margin=0.0)
    assert np.abs(without_context.probability - whole.probability).max() > 1e-3


def test_blocks_cover_every_point_in_all_fragments() -> None:
    model, sample = PointModel(), room()
    whole = predict(model, sample)
    model.rows.clear()
    cut = predict(model, sample, points_per_pass=100, margin=0.3)
    assert max(model.rows) <= 100
    np.testing.assert_allclose(cut.probability, whole.probability, atol=1e-6)


def test_fragments_share_one_voxel_set() -> None:
    class Model(PointModel):
        seen: list[VoxelSet] = []

        def forward(self, batch: Batch) -> HeadOutput:
            self.seen.append(batch_voxels(batch))
            assert torch.equal(self.seen[0].grid_pos, batch.grid_pos)
            return super().forward(batch)

    model = Model()
    predict(model, room(500))
    assert len(model.seen) > 2
    assert all(voxels is model.seen[0] for voxels in model.seen)


def test_predictions_do_not_depend_on_the_order_of_points() -> None:
    model, sample = PointModel(), room()
    order = np.random.default_rng(0).permutation(sample.num_points)
    shuffled = predict(model, sample.take(order), points_per_pass=300)
    assert np.array_equal(shuffled.label, predict(model, sample).label[order])


def test_tta_passes_are_averaged() -> None:
    model, sample = PointModel(), room()

    def darker(sample: Sample) -> Sample:
        return replace(sample, color=sample.color * 0.5)

    def shifted(sample: Sample) -> Sample:  # different voxels, same features
        return replace(sample, pos=sample.pos + np.float32([0.07, 0.03, 0.0]))

    with torch.no_grad():
        first = model.linear(features_of(sample)).softmax(1)
        second = model.linear(features_of(darker(sample))).softmax(1)
    for fragments in ("all", 1):  # one point per voxel: both mean the same
        both = predict(model, sample, passes=(shifted, darker), fragments=fragments, grid_size=1e-4)
        np.testing.assert_allclose(both.probability, (first + second) / 2, atol=1e-5)
    both = predict(model, sample, passes=(shifted, darker))
    assert both.probability is not None
    outside = np.maximum(both.probability - torch.maximum(first, second).numpy(),
                         torch.minimum(first, second).numpy() - both.probability)  # fmt: skip
    assert outside.max() < 1e-5


@pytest.mark.parametrize("num_points", [0, 1, 2])
@pytest.mark.parametrize("fragments", ["all", 1])
def test_tiny_scenes(num_points: int, fragments: int | str) -> None:
    prediction = predict(ConvModel(), room().take(np.arange(num_points)), fragments=fragments)
    assert prediction.label.shape == prediction.confidence.shape == (num_points,)
    assert prediction.probability is not None
    assert len(prediction.probability) == num_points


def test_a_unet_predicts_the_core_of_a_block_as_in_the_whole_scene() -> None:
    """Coarse voxels of a block are aligned with those of the whole scene."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = SparseUNet(4, base_channels=4, channels=(4, 4, 4, 4), layers=(1, 1, 1, 1))
            self.backbone.double()

        def forward(self, batch: Batch) -> HeadOutput:
            batch.x = batch.x.double()
            return HeadOutput(logits=self.backbone(batch)[0].x * 1e3)

    rng = np.random.default_rng(0)
    pos = rng.random((4000, 3)).astype(np.float32) * np.float32([20, 0.2, 0.2])
    sample = Sample(
        name="corridor",
        pos=pos,
        color=rng.random((4000, 3)).astype(np.float32) * 255,
        label=np.full(4000, -1),
        instance=np.full(4000, -1),
    )
    model = Model()
    whole = predict(model, sample, grid_size=0.1, fragments=1)
    cut = predict(model, sample, grid_size=0.1, fragments=1, points_per_pass=400, margin=2.6)
    np.testing.assert_allclose(cut.probability, whole.probability, atol=1e-4)


def test_the_training_mode_is_restored_and_progress_ends_at_one() -> None:
    model, shares = ConvModel().train(), []
    predict(model, room(200), on_progress=shares.append)
    assert model.training
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_nan_coordinates_are_an_error_with_the_scene_name() -> None:
    sample = room(50)
    sample.pos[3, 1] = np.nan
    with pytest.raises(UserError, match=r"Area_1/office_1: .*NaN"):
        predict(PointModel(), sample)


def test_a_pass_that_memory_does_not_hold_is_an_error() -> None:
    class Large(PointModel):
        def forward(self, batch: Batch) -> HeadOutput:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has")

    message = r"--device cpu: a forward pass does not fit into memory \(CUDA out of memory.*Lower --points_per_pass of"
    with pytest.raises(UserError, match=message):
        predict(Large(), room())


def test_a_model_that_returns_nan_is_an_error() -> None:
    model = PointModel()
    nn.init.constant_(model.linear.bias, torch.nan)
    with pytest.raises(UserError, match="returns NaN"):
        predict(model, room(50))


@pytest.mark.parametrize(
    "options", [{"fragments": 0}, {"fragments": "some"}, {"points_per_pass": 0}, {"margin": -1}]
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^--[a-z_]+: .*\. Use "):
        PointOptions(**options)


def with_full_voxel(sample: Sample, number: int) -> Sample:
    """Return a scene with ``number`` more points in the voxel of its first point, colored at random."""
    rng = np.random.default_rng(0)
    full = sample.take(np.zeros(number, np.int64))
    color = rng.uniform(0, 255, (number, 3)).astype(np.float32)
    arrays = {name: np.concatenate([array, full.arrays()[name]]) for name, array in sample.arrays().items()}
    return replace(sample, **arrays | {"color": np.concatenate([sample.color, color])})


def test_full_voxel_costs_no_passes_and_its_points_get_its_mean(caplog: pytest.LogCaptureFixture) -> None:
    model, plain = PointModel(), room()
    sample = with_full_voxel(plain, 100_000)
    predict(model, plain)
    passes = len(model.rows)
    prediction = predict(model, sample)
    assert passes <= len(model.rows) - passes <= passes + 1
    most = len(model.rows) - passes
    assert f"1 voxels have more than {most} points" in caplog.text
    groups = group_by_voxel(sample.pos, 0.2)
    voxel = int(groups.count.argmax())
    members = groups.order[groups.ptr[voxel] : groups.ptr[voxel + 1]]
    with torch.no_grad():
        own = model.linear(features_of(sample)).softmax(1).double().numpy()
    expected = own.copy()
    expected[members[most:]] = sum(own[row] for row in members[:most]) / most
    assert prediction.probability is not None
    np.testing.assert_allclose(prediction.probability, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("count", "expected"),
    [([3, 1, 2], 3), ([1] * 200 + [16], 16), ([1] * 200 + [17], 1), ([5] * 200 + [20], 20), ([5] * 200 + [21], 5),
     ([100_000], 128), ([30] * 300 + [90, 5000], 90)],
)  # fmt: skip
def test_number_of_passes(count: list[int], expected: int) -> None:
    assert most_fragments(np.array(count)) == expected
