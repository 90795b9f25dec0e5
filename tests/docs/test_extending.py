"""The worked example of docs/extending.md: the printed head trains, is scored, and is right on points and images."""

import importlib
import shlex
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch
from helpers.fakes import write_fake_building
from helpers.grids import make_levels, random_scene
from helpers.printed_commands import ROOT, bash_commands, blocks, run_here

TEXT = (ROOT / "docs" / "extending.md").read_text()
SMALL = (
    "--trainer.max_epochs 2 --trainer.progress_bar false --trainer.accelerator cpu --data.max_voxels 2000 "
    "--data.grid_size 0.2 --data.root {root}"
)


@pytest.fixture
def my_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (code,) = blocks(TEXT, "python")
    (tmp_path / "my_heads.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_heads", raising=False)
    return importlib.import_module("my_heads")


def test_scenes_of_a_batch_do_not_see_each_other(my_heads: ModuleType) -> None:
    from pcseg.heads import PointHead

    torch.manual_seed(0)
    head = PointHead([6, 6, 6], 5, body=partial(my_heads.GlobalPoolBody, width=8)).double().eval()
    scenes = [random_scene(60, 6, seed=1), random_scene(90, 6, seed=2)]
    together = head(*make_levels(scenes)).logits
    alone = torch.cat([head(*make_levels([scene])).logits for scene in scenes])
    torch.testing.assert_close(together, alone)


def test_it_is_a_head_for_images(my_heads: ModuleType) -> None:
    from pcseg.heads import ImageHead

    head = ImageHead([8], 5, body=partial(my_heads.GlobalPoolBody, width=8))
    assert head.body.classify.in_features == 16


@pytest.mark.slow
def test_commands_run_as_printed(
    tmp_path: Path, my_heads: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_fake_building(tmp_path / "data/rooms", rooms={"Area_1": 3, "Area_5": 1})
    overlay = next(block for block in blocks(TEXT, "yaml") if block.startswith("# my_head.yaml"))
    (tmp_path / "my_head.yaml").write_text(overlay)
    for command in bash_commands(TEXT):
        if command.startswith("export"):
            continue
        small = f" {SMALL.format(root=root)}" if " train " in command else ""
        run_here(shlex.split(command + small))
    assert (tmp_path / "runs" / "my_head" / "logs" / "metrics.csv").is_file()
    assert (tmp_path / "results" / "my_head" / "results.md").is_file()
    assert (tmp_path / "results" / "my_head" / "office_1.npz").is_file()
