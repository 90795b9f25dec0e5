"""Test-time augmentation: the passes of the protocols, one pass, and averages compared with a plain loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.models import FEATURES, ConvModel, PointModel
from helpers.models import sample_room as room
from torch_geometric.data import Batch, Data

from pcseg.data.features import ground_height, input_features
from pcseg.data.sample import Sample
from pcseg.data.voxels import group_by_voxel
from pcseg.inference.points import PointOptions, predict_scene
from pcseg.inference.tta import S3DIS_PASSES, SCANNET_PASSES, TTA_PASSES, TTAPass


def test_the_passes_of_the_protocols() -> None:
    assert len(S3DIS_PASSES) == 10
    assert {(v.scale, v.flip) for v in S3DIS_PASSES} == {
        (s, f) for s in (0.9, 0.95, 1.0, 1.05, 1.1) for f in (False, True)
    }
    assert all(v.quarter_turns == 0 for v in S3DIS_PASSES)
    assert len(SCANNET_PASSES) == 13
    turned = [(v.scale, v.quarter_turns) for v in SCANNET_PASSES if not v.flip]
    assert sorted(turned) == sorted((s, q) for s in (0.95, 1.0, 1.05) for q in range(4))
    assert [v for v in SCANNET_PASSES if v.flip] == [TTAPass(flip=True)]
    assert all(passes[0] == TTAPass() for passes in TTA_PASSES.values()), "the first pass is the identity"
    for passes in TTA_PASSES.values():
        assert len(set(map(str, passes))) == len(passes), "every pass has its own name"
    assert str(TTAPass(scale=0.95, quarter_turns=3, flip=True)) == "rotate 270 scale 0.95 flip"


def corner() -> Sample:
    pos = np.array([[4, 6, 1], [8, 6, 1], [4, 8, 3]], dtype=np.float32)  # center (6, 7), bottom 1
    normal = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    label = np.arange(3)
    return Sample(
        name="a/b", pos=pos, color=np.zeros((3, 3), np.uint8), label=label, instance=label, normal=normal
    )


@pytest.mark.parametrize(
    ("tta_pass", "pos", "normal"),
    [
        (TTAPass(scale=2), [[2, 5, 1], [10, 5, 1], [2, 9, 5]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (TTAPass(quarter_turns=1), [[7, 5, 1], [7, 9, 1], [5, 5, 3]], [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
        (TTAPass(flip=True), [[8, 8, 1], [4, 8, 1], [8, 6, 3]], [[-1, 0, 0], [0, -1, 0], [0, 0, 1]]),
    ],
)
def test_a_pass_transforms_positions_and_normals(tta_pass: TTAPass, pos: list, normal: list) -> None:
    seen = tta_pass(corner())
    np.testing.assert_allclose(seen.pos, pos, atol=1e-6)
    assert seen.normal is not None
    np.testing.assert_allclose(seen.normal, normal, atol=1e-6)
    assert TTAPass()(corner()).pos.tolist() == corner().pos.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["s3dis", "scannet"])
@pytest.mark.parametrize("fragments", ["all", 1])
def test_scores_are_summed_over_fragments_and_passes(protocol: str, fragments: str | int) -> None:
    """Compare with one loop over passes and fragments, also for the first pass alone."""
    model, sample = ConvModel(), room(400)
    total, first = torch.zeros(sample.num_points, 5), torch.empty(0)
    for number, tta_pass in enumerate(TTA_PASSES[protocol]):  # type: ignore[index]
        seen = tta_pass(replace(sample))
        groups = group_by_voxel(seen.pos, 0.25)
        for fragment in range(groups.num_fragments if fragments == "all" else 1):
            rows = groups.pick(fragment)
            x = input_features(
                FEATURES, pos=seen.pos[rows], color=seen.color[rows], ground=ground_height(seen.pos)
            )
            data = Data(x=torch.from_numpy(x), grid_pos=torch.from_numpy(groups.grid_pos))
            with torch.no_grad():
                scores = model(Batch.from_data_list([data])).logits.softmax(1)
            if fragments == "all":
                total[rows] += scores
            else:
                total += scores[groups.inverse]
        first = total.clone() if number == 0 else first
    prediction = predict_scene(
        model, sample, grid_size=0.25, features=FEATURES, passes=TTA_PASSES[protocol],  # type: ignore[index]
        probabilities=True, options=PointOptions(fragments=fragments),  # type: ignore[arg-type]
    )  # fmt: skip
    np.testing.assert_allclose(
        prediction.probability, (total / total.sum(1, keepdim=True)).numpy(), atol=1e-5
    )
    assert prediction.first is not None
    np.testing.assert_array_equal(prediction.first.label, first.argmax(1).numpy())
    single = predict_scene(
        model, sample, grid_size=0.25, features=FEATURES,
        options=PointOptions(fragments=fragments),  # type: ignore[arg-type]
    )  # fmt: skip
    assert single.first is None
    np.testing.assert_array_equal(prediction.first.label, single.label)
    np.testing.assert_allclose(prediction.first.confidence, single.confidence, atol=1e-6)


def test_progress_covers_all_passes() -> None:
    shares: list[float] = []
    options = {
        "grid_size": 0.3,
        "features": FEATURES,
        "passes": S3DIS_PASSES,
        "options": PointOptions(fragments="all"),
    }
    predict_scene(PointModel(), room(200), on_progress=shares.append, **options)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    nothing = predict_scene(PointModel(), room().take(np.arange(0)), **options)
    assert len(nothing.label) == 0
