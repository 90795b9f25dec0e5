"""The files that docs/architecture.md names are those that a batch and a scan pass."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from helpers.checkpoints import write_checkpoint
from helpers.clouds_on_disk import own_room, write_own_ply
from helpers.fakes import write_fake_building
from helpers.printed_commands import ROOT

from pcseg.cli import main

TEXT = (ROOT / "docs" / "architecture.md").read_text()


def named_files(heading: str) -> list[str]:
    """Return the first file of every numbered step below a heading, in order."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"(?:^|, )\d+\. `(pcseg/[\w/]+\.py)`", section, flags=re.MULTILINE)


def passed_files(call: Callable[[], object]) -> set[str]:
    """Return the files of the package of which a function runs during a call."""
    found: set[str] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(str(ROOT / "pcseg")) and frame.f_code.co_name != "<module>":
            found.add(str(Path(file).relative_to(ROOT)))

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.slow
def test_a_batch_from_yaml_to_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_fake_building(tmp_path / "rooms", num_points=800)
    options = "--trainer.max_epochs 1 --trainer.progress_bar false --trainer.accelerator cpu --data.loop 1"
    words = f"train --config rooms/encnet --data.root {root} --data.max_voxels 300 --data.grid_size 0.3"
    passed = passed_files(lambda: main([*words.split(), *options.split(), "--out", str(tmp_path / "run")]))
    named = named_files("A batch: from YAML to the loss")
    assert 10 <= len(named) <= 15
    assert set(named) <= passed


@pytest.mark.slow
def test_a_scan_from_the_checkpoint_to_the_prediction(tmp_path: Path) -> None:
    scan = write_own_ply(tmp_path / "room.ply", own_room(1))
    checkpoint = write_checkpoint(tmp_path / "best.ckpt")
    passed = passed_files(
        lambda: main(["predict", str(scan), "--ckpt", str(checkpoint), "--out", str(tmp_path / "out")])
    )
    named = named_files("A scan: from the checkpoint to the prediction")
    assert 8 <= len(named) <= 12
    heads = {"pcseg/heads/points.py", "pcseg/heads/encnet.py"}  # the checkpoint of the test has a linear head
    assert set(named) - heads <= passed
