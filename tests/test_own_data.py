"""The commands of docs/own_data.md run as printed, on small rooms: only paths and sizes are replaced."""

import shlex
import sys
from pathlib import Path

import pytest
import yaml
from helpers.clouds_on_disk import NAMES, own_room, write_own_folder, write_own_ply
from helpers.printed_commands import ROOT, bash_commands, blocks, run_apart

TEXT = (ROOT / "docs" / "own_data.md").read_text()
SMALL = ("--trainer.max_epochs 1 --trainer.progress_bar false --data.max_voxels 2000 "
         "--trainer.accelerator cpu")  # fmt: skip


@pytest.mark.slow
def test_commands_run_as_printed(tmp_path: Path) -> None:
    write_own_folder(tmp_path)
    (described,) = blocks(TEXT, "yaml")
    assert tuple(yaml.safe_load(described)["names"].values()) == NAMES
    (tmp_path / "my_rooms.yaml").write_text(described)
    write_own_ply(tmp_path / "new_scan.ply", own_room(50))
    commands = bash_commands(TEXT)
    assert len(commands) >= 6
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for command in commands:
        words = shlex.split(command + (f" {SMALL}" if "train.py" in command else ""))
        assert words[0] == "python"
        words = [sys.executable, *(word.replace("scripts/", f"{ROOT}/scripts/") for word in words[1:])]
        run_apart(shlex.join(words), cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    assert (tmp_path / "results" / "my_rooms" / "results.md").is_file()
    assert (tmp_path / "predictions" / "new_scan.npz").is_file()
