import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pcseg.data.schemas import SCANNET200, SCANNET200_GROUPS
from pcseg.evaluation.report import Report
from pcseg.metrics.boundary import boundary_counts
from pcseg.metrics.confusion import ConfusionMatrix

PROVENANCE = {"dataset": "s3dis", "release": "fake rooms", "splits": ["Area_5"], "grid_size": 0.05, "seed": 3}


def report(pred: list[int], target: list[int]) -> Report:
    matrix, constant = ConfusionMatrix(4), ConfusionMatrix(4)
    matrix.update(torch.tensor(pred), torch.tensor(target))
    constant.update(torch.zeros(len(target), dtype=torch.int64), torch.tensor(target))
    names = ("floor", "wall", "chair", "sofa")
    return Report(provenance=PROVENANCE, names=names, matrix=matrix, baselines={"all floor": constant})


def test_both_conventions_about_absent_classes(tmp_path: Path) -> None:
    result = report([0, 0, 1, 2], [0, 1, 1, 0])
    result.write(tmp_path)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["scores"]["miou"]["excluded"] == pytest.approx((1 / 3 + 1 / 2) / 3)
    assert written["scores"]["miou"]["zero"] == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert written["absent_classes"] == ["sofa"]
    assert written["only_predicted_classes"] == ["chair"]
    assert written["classes"][2] == {
        "name": "chair",
        "iou": 0.0,
        "accuracy": None,
        "labeled": 0,
        "predicted": 1,
    }
    assert written["classes"][3]["iou"] is None
    assert written["baselines"]["all floor"]["oa"] == pytest.approx(0.5)
    assert written["provenance"] == PROVENANCE


def test_the_page_shows_percent_baselines_and_provenance(tmp_path: Path) -> None:
    page = report([0, 0, 1, 2], [0, 1, 1, 0]).as_markdown()
    assert page.startswith("# Semantic segmentation of fake rooms, Area_5\n"), "generated rooms are not S3DIS"
    assert "| **this model** | 27.78 | 50.00 | 50.00 | the 3 classes that are labeled or predicted |" in page
    assert "| **this model** | 20.83 | 25.00 | 50.00 | all 4 classes, absent ones as 0 |" in page
    assert "| all floor | 25.00 | 50.00 | 50.00 | the 2 classes that are labeled or predicted |" in page
    assert "| sofa | - | - | 0 |" in page
    assert "neither labeled nor predicted): sofa" in page
    assert "never labeled (IoU 0 in both conventions, no accuracy): chair" in page
    assert "- grid_size: 0.05" in page
    assert "- splits: Area_5" in page


def test_a_report_without_labels_is_valid_json(tmp_path: Path) -> None:
    result = report([0, 1], [-1, -1])
    result.write(tmp_path)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["scores"] == {
        "miou": {"excluded": None, "zero": None}, "macc": {"excluded": None, "zero": None}, "oa": None,
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "results.md"]


def test_single_pass_boundaries_and_intervals_are_reported(tmp_path: Path) -> None:
    result, single = report([0, 0, 1, 2], [0, 1, 1, 0]), report([0, 1, 1, 0], [0, 1, 1, 0])
    rooms = torch.stack([result.matrix.counts, single.matrix.counts])
    pos = np.array([[0, 0, 0], [0.01, 0, 0], [0.02, 0, 0], [3, 0, 0]])
    label = np.array([0, 1, 1, 2])
    boundary = boundary_counts(pos, np.array([0, 1, 0, 2]), label, num_classes=4, width=0.05)
    full = replace(
        result, provenance={**PROVENANCE, "passes": 10, "boundary": 0.05}, single_pass=single.matrix, rooms=rooms,
        boundary=boundary, ids=(1, 2, 3, 4),
    )  # fmt: skip
    page = full.as_markdown()
    assert "| in percent, mean of 10 passes | mIoU |" in page
    assert "| **this model** | 27.78 |" in page
    assert "| this model, single pass | 100.00 |" in page
    assert "95 % bootstrap intervals over the 2 rooms" in page
    assert "| floor | 33.33 | 50.00 | 50.00 | 2 |" in page  # boundary: one of two
    assert "| chair | 0.00 | - | - | 0 |" in page
    full.write(tmp_path)
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["single_pass"]["miou"]["excluded"] == 1
    assert written["boundary"]["iou"] == {"floor": 0.5, "wall": 0.5, "chair": None, "sofa": None}
    low, high = written["interval_over_rooms"]["miou"]
    assert low == pytest.approx(full.matrix.mean_iou())
    assert low < written["scores"]["miou"]["excluded"] + 1e-9 < high
    assert "wall          (2 ): 0.500" in (tmp_path / "scannet.txt").read_text()


def test_means_over_head_common_and_tail_classes(tmp_path: Path) -> None:
    """Compare with a loop over the names; 30 classes are absent, and no two groups have the same mean."""
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 50, (200, 201)) * (rng.random((200, 201)) < 0.1)
    missing = rng.permutation(200)[:30]
    counts[missing] = 0
    counts[:, missing] = 0
    matrix = ConfusionMatrix(200, torch.from_numpy(counts))
    result = Report(
        provenance=PROVENANCE,
        names=SCANNET200.names,
        matrix=matrix,
        baselines={},
        single_pass=matrix + matrix,
    )
    result = replace(result, provenance={**PROVENANCE, "passes": 2})
    result.write(tmp_path)
    written = json.loads((tmp_path / "results.json").read_text())
    iou = {entry["name"]: entry["iou"] for entry in written["classes"]}
    for group, names in SCANNET200_GROUPS.items():
        known = [iou[name] for name in names if iou[name] is not None]
        assert 0 < len(known) < len(names)
        assert written["groups"][group]["miou"]["excluded"] == pytest.approx(np.mean(known))
        assert written["groups"][group]["miou"]["zero"] == pytest.approx(np.sum(known) / len(names))
        assert 0 < written["groups"][group]["macc"]["excluded"] < 1
        row = f"| {group} | {100 * np.mean(known):.2f} | "
        page = (tmp_path / "results.md").read_text()
        assert any(line.startswith(row) and f"the {len(known)} classes" in line for line in page.splitlines())
    assert report([0], [0]).as_dict()["groups"] == {}
    assert "class group" not in report([0], [0]).as_markdown()
