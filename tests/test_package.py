"""The built wheel works without the repository: every command, from a folder elsewhere."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "--data.max_voxels", "2000", "--data.num_workers", "0", "--trainer.max_epochs", "1",
    "--trainer.accelerator", "cpu", "--trainer.progress_bar", "false",
]  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel, and sees the dependencies of this one but not the repository."""
    folder = tmp_path_factory.mktemp("package")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", str(ROOT), "-w", str(folder)], cwd=folder)
    run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], cwd=folder)
    (wheel,) = folder.glob("pcseg-*.whl")
    run(
        [*pip, f"--python={folder / 'env'}", "install", "-q", "--no-deps", "--no-index", str(wheel)],
        cwd=folder,
    )
    (packages,) = (folder / "env").glob("lib/*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env" / "bin"


def run(words: list[str], *, cwd: Path) -> str:
    """Run a command in ``cwd`` without the repository on its path and return what it printed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        words,
        cwd=cwd,
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
def test_commands_work_outside_the_repository(installed: Path, tmp_path: Path) -> None:
    def pcseg(*words: str) -> str:
        return run([str(installed / "pcseg"), *words], cwd=tmp_path)

    where = run([str(installed / "python"), "-c", "import pcseg; print(pcseg.__file__)"], cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert "prepare s3dis" in pcseg("--help")
    pcseg("prepare", "rooms", "raw", "--areas", "5", "--rooms", "2", "--points", "5000", "--workers", "1")
    pcseg("prepare", "s3dis", "raw", "data/rooms", "--workers", "1")
    pcseg("train", "--config", "rooms/encnet", *SMALL)
    checkpoint = "runs/rooms_encnet/best.ckpt"
    assert (tmp_path / checkpoint).is_file()
    assert "mIoU" in pcseg("evaluate", "--ckpt", checkpoint, "--out", "results", "--fragments", "1")
    (scene, *_) = sorted((tmp_path / "data" / "rooms" / "Area_5").glob("*.h5"))
    pcseg("predict", str(scene), "--ckpt", checkpoint, "--out", "predictions")
    assert (tmp_path / "predictions" / f"{scene.stem}.npz").is_file()
    pcseg("visualize", str(scene), "--prediction", "predictions", "--png", "room.png")
    assert (tmp_path / "room.png").stat().st_size > 10_000
    assert "files" in pcseg("check", "data/rooms")
