"""The worked example of docs/pyg.md: the printed PointNet++ trains with an EncNet head, is scored, and predicts."""

import shlex
import sys
from pathlib import Path

import pytest
from helpers.fakes import write_fake_building
from helpers.printed_commands import ROOT, bash_commands, blocks, run_here

TEXT = (ROOT / "docs" / "pyg.md").read_text()
SMALL = (
    "--trainer.max_epochs 1 --trainer.progress_bar false --trainer.accelerator cpu --data.max_voxels 400 "
    "--data.grid_size 0.2 --data.loop 1 --data.root {root}"
)


@pytest.mark.slow
def test_commands_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_fake_building(tmp_path / "data/rooms", rooms={"Area_1": 2, "Area_5": 1}, num_points=600)
    (tmp_path / "pointnet2.py").write_text(blocks(TEXT, "python")[0])
    (tmp_path / "pointnet2.yaml").write_text(blocks(TEXT, "yaml")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pointnet2", raising=False)
    for command in bash_commands(TEXT):
        if not command.startswith("export"):
            run_here(shlex.split(command + (f" {SMALL.format(root=root)}" if " train " in command else "")))
    assert (tmp_path / "results" / "pointnet2" / "results.md").is_file()
    assert (tmp_path / "results" / "pointnet2" / "office_1.npz").is_file()
