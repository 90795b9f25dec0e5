"""Scores of rotated rooms: the same for a full turn, and those of an evaluation without one."""

from pathlib import Path

import pytest
from helpers.checkpoints import write_checkpoint
from helpers.fakes import write_fake_building
from studies.rotated_rooms import rotated_rooms

from pcseg.evaluation.evaluate import evaluate


@pytest.mark.slow
def test_scores_of_rotated_rooms(tmp_path: Path) -> None:
    building = write_fake_building(tmp_path / "rooms", num_points=800)
    for name in ("linear", "axes"):
        (tmp_path / name / "seed_0").mkdir(parents=True)
    ckpt = write_checkpoint(tmp_path / "linear" / "seed_0" / "best.ckpt", building)
    axes = write_checkpoint(tmp_path / "axes" / "seed_0" / "best.ckpt", building, room_axes=True)
    report = tmp_path / "rotated.md"
    rotated_rooms(ckpts=[ckpt, axes], report=report, angles=[0, 360, 40])
    rows = [line.split(" | ") for line in report.read_text().splitlines() if "seed_0" in line]
    assert [row[0] for row in rows] == ["| linear/seed_0", "| axes/seed_0"]
    assert [row[1] for row in rows] == ["of the file", "estimated"]
    scores = [float(cell.strip(" |")) for cell in rows[0][2:]]
    assert scores[0] == scores[1]
    evaluate(ckpt=ckpt, out=tmp_path / "evaluation", fragments=1, progress_bar=False)
    text = (tmp_path / "evaluation" / "results.md").read_text()
    assert f"| {scores[0]:.1f}" in text
