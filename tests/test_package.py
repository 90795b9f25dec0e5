"""The built wheel works without the repository: every command, from a folder elsewhere."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SMALL = (
    "--data.max_voxels 2000 --data.num_workers 0 --trainer.max_epochs 1 --trainer.accelerator cpu "
    "--trainer.progress_bar false"
)


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
    def pcseg(*commands: str) -> str:
        """Run commands in one process, which imports torch once."""
        split = [command.split() for command in commands]
        code = f"import pcseg.cli\nprint(pcseg.__file__)\nfor words in {split}:\n    pcseg.cli.main(words)"
        where, *printed = run([str(installed / "python"), "-c", code], cwd=tmp_path).splitlines()
        assert Path(where).is_relative_to(installed.parent)
        return "\n".join(printed)

    assert "prepare s3dis" in run([str(installed / "pcseg"), "--help"], cwd=tmp_path)
    checkpoint = "runs/rooms_encnet/best.ckpt"
    printed = pcseg(
        "prepare rooms raw --areas 5 --rooms 2 --points 5000 --workers 1",
        "prepare s3dis raw data/rooms --workers 1",
        f"train --config rooms/encnet {SMALL}",
        f"evaluate --ckpt {checkpoint} --out results --fragments 1",
        "check data/rooms",
    )
    assert (tmp_path / checkpoint).is_file()
    assert "mIoU" in printed
    assert "files" in printed
    (scene, *_) = sorted((tmp_path / "data" / "rooms" / "Area_5").glob("*.h5"))
    pcseg(
        f"predict {scene} --ckpt {checkpoint} --out predictions",
        f"visualize {scene} --prediction predictions --png room.png",
    )
    assert (tmp_path / "predictions" / f"{scene.stem}.npz").is_file()
    assert (tmp_path / "room.png").stat().st_size > 10_000
