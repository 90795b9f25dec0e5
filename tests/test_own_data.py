"""The commands of docs/own_data.md run as printed, on small rooms: only paths and sizes are replaced."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from clouds_on_disk import NAMES, own_room, write_own_folder, write_own_ply

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "own_data.md").read_text()
SMALL = ("--trainer.max_epochs 1 --trainer.progress_bar false --data.max_voxels 2000 "
         "--trainer.accelerator cpu")  # fmt: skip


@pytest.mark.slow
def test_commands_run_as_printed(tmp_path: Path) -> None:
    write_own_folder(tmp_path)
    (described,) = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    assert tuple(yaml.safe_load(described)["names"].values()) == NAMES
    (tmp_path / "my_rooms.yaml").write_text(described)
    write_own_ply(tmp_path / "new_scan.ply", own_room(50))
    blocks = re.findall(r"```bash\n(.*?)```", TEXT, flags=re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line]
    assert len(commands) >= 6
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for command in commands:
        words = shlex.split(command + (f" {SMALL}" if "train.py" in command else ""))
        assert words[0] == "python"
        words = [sys.executable, *(word.replace("scripts/", f"{ROOT}/scripts/") for word in words[1:])]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert (tmp_path / "results" / "my_rooms" / "results.md").is_file()
    assert (tmp_path / "predictions" / "new_scan.npz").is_file()
