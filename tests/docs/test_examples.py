"""Python blocks of the pages run as printed, in a folder with a scan and a checkpoint."""

import os
from pathlib import Path

import pytest
from helpers.checkpoints import write_checkpoint
from helpers.clouds_on_disk import own_room, write_own_ply
from helpers.printed_commands import ROOT, blocks

PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name != "extending.md"]
EXAMPLES = [page for page in PAGES if blocks(page.read_text(), "python")]


@pytest.mark.parametrize("page", EXAMPLES, ids=[page.stem for page in EXAMPLES])
def test_python_runs_as_printed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_own_ply(tmp_path / "my_room.ply", own_room(1))
    checkpoint = tmp_path / "runs" / "quickstart" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    write_checkpoint(checkpoint)
    names: dict[str, object] = {}
    for block in blocks(page.read_text(), "python"):
        exec(compile(block, f"{os.path.relpath(page, ROOT)}", "exec"), names)
