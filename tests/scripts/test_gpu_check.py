"""The check of a GPU, tried without one: every item runs, and one that fails does not end the others."""

import json
import sys
import time
from pathlib import Path

import gpu_check
import pytest
from benchmarks.conv import surface_voxels
from gpu.items import ITEMS
from gpu.workload import Setting
from helpers.printed_commands import run_apart

from pcseg.errors import UserError

CPU = ["--device", "cpu", "--small", "--here"]


def run(monkeypatch: pytest.MonkeyPatch, out: Path, *words: str) -> dict:
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--out", str(out), *words])
    gpu_check.main()
    return json.loads((out / "gpu_check.json").read_text())


@pytest.mark.slow
def test_all_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ITEMS, "tests", lambda _: {"summary": "they collect all tests, which takes long"})
    found = run(monkeypatch, tmp_path, *CPU)
    assert list(found) == list(ITEMS) == list(gpu_check.SECONDS)
    assert {name: item["error"] for name, item in found.items() if "error" in item} == {}
    assert found["unet_step"]["plain"]["step"] > 0
    assert found["repeats"]["differ"] == 0
    assert found["heads"].keys() == {"linear", "ccnet", "ctnet", "encnet", "slab", "seconds"}
    table = (tmp_path / "gpu_check.md").read_text()
    assert "| level 0: product, plain |" in table


def test_a_failure_does_not_end_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Setting) -> dict:
        raise RuntimeError("CUDA error: an illegal memory access\nwas encountered")

    monkeypatch.setitem(ITEMS, "waits", fails)
    found = run(monkeypatch, tmp_path, *CPU, "--items", "waits", "machine")
    assert found["waits"]["error"] == "RuntimeError: CUDA error: an illegal memory access was encountered"
    assert "in fails" in found["waits"]["traceback"]
    assert found["machine"]["python"]
    assert "illegal memory access" in (tmp_path / "gpu_check.md").read_text()


def test_items_end_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu_check.SECONDS, "machine", 0.01)  # less than an import takes
    begun = time.monotonic()
    found = run(monkeypatch, tmp_path, "--device", "cpu", "--small", "--items", "machine")
    assert time.monotonic() - begun < 60
    assert found["machine"]["error"] == "ended after 0 s"
    found = run(monkeypatch, tmp_path, "--device", "cpu", "--minutes", "0", "--items", "machine")
    assert found["machine"]["error"] == "not started: 0 minutes are over"


def test_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match=r"--device cuda: not available. Check nvidia-smi"):
        run(monkeypatch, tmp_path)
    assert not (tmp_path / "gpu_check.json").exists()


@pytest.mark.slow
def test_the_script_in_processes(tmp_path: Path) -> None:
    run_apart(
        "bash scripts/gpu_check.sh --device cpu --small --items machine",
        env={"OUT": str(tmp_path), "PYTHON": sys.executable},
    )
    assert json.loads((tmp_path / "gpu_check.json").read_text())["machine"]["cpus"] > 0


def test_rooms_look_like_rooms() -> None:
    """As many distinct voxels as asked for, sorted by position."""
    voxels = surface_voxels(0, 2000)
    assert voxels.shape == (2000, 3)
    assert len(voxels.unique(dim=0)) == 2000
