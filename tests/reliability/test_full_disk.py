"""A full disk: one line for every command, nothing half-written, and what was there stays."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.checkpoints import write_checkpoint
from helpers.damage import clear
from helpers.fakes import write_fake_building
from helpers.training_runs import write_config
from plyfile import PlyData

from pcseg.cli import main
from pcseg.data.io.ply import write_ply
from pcseg.errors import UserError
from pcseg.files import atomic_paths, write_texts
from pcseg.inference.predict import predict_file


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 16 KiB; skipped where mounting is not allowed."""
    folder = tmp_path / "small"
    folder.mkdir()
    resize(folder, "16k", "tmpfs", "-t", "tmpfs")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def resize(folder: Path, size: str, *options: str) -> None:
    command = [
        "mount",
        *options[1:],
        "-o",
        f"{'' if options else 'remount,'}size={size}",
        *options[:1],
        folder,
    ]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("cannot mount a file system")


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_commands_on_a_full_disk(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    building = write_fake_building(tmp_path / "rooms", num_points=3000)
    ckpt, scan = write_checkpoint(tmp_path / "best.ckpt", building), building / "Area_5" / "office_1.h5"
    config = write_config(tmp_path / "config.yaml", building, small_disk / "run")
    raw = tmp_path / "clouds" / "train"
    raw.mkdir(parents=True)
    np.savetxt(raw / "a.txt", np.c_[np.random.default_rng(0).uniform(0, 3, (9000, 3)), np.zeros(9000)])
    description = tmp_path / "own.yaml"
    description.write_text("root: clouds\nnames: [a, b]\ncolumns: x,y,z,label\n")
    before = write_texts({small_disk / "old.txt": "kept"}) or files_in(small_disk)
    for args in (
        ["predict", str(scan), "--ckpt", str(ckpt), "--out", str(small_disk / "a")],
        ["evaluate", "--ckpt", str(ckpt), "--out", str(small_disk / "b")],
        ["visualize", str(scan), "--png", str(small_disk / "c" / "d.png")],
        ["visualize", str(scan), "--html", str(small_disk / "e.html")],
        ["prepare", "folder", str(description), str(small_disk / "f")],
        ["prepare", "rooms", str(small_disk / "g"), "--areas", "1", "--rooms", "1", "--points", "3000"],
        ["train", "--config", str(config)],
    ):
        with pytest.raises(SystemExit) as stop:
            main(args)
        error = capsys.readouterr().err
        assert stop.value.code == 1, (args, error)
        lines = [line for line in error.splitlines() if "pcseg: error: " in line]
        assert len(lines) == 1, (args, error)
        assert "Traceback" not in error
        left = files_in(small_disk) - before
        assert not [
            name for name in left if name.endswith((".npz", ".ply", ".png", ".html", ".h5", ".ckpt", ".tmp"))
        ]
        subprocess.run(
            ["find", small_disk, "-mindepth", "1", "!", "-name", "old.txt", "-delete"], check=False
        )
    assert (small_disk / "old.txt").read_text() == "kept"


def test_files_that_belong_together_appear_together(tmp_path: Path) -> None:
    first, second = tmp_path / "a.npz", tmp_path / "a.ply"
    write_texts({first: "old", second: "old"})
    with pytest.raises(UserError) as error, atomic_paths(first, second) as (one, _):
        one.write_text("new")  # and nothing under the other name
    assert not clear(error.value, "a.npz")
    assert (first.read_text(), second.read_text()) == ("old", "old")
    assert files_in(tmp_path) == {"a.npz", "a.ply"}


@pytest.mark.slow
def test_prediction_in_tiles_resumes_when_there_is_space(tmp_path: Path, small_disk: Path) -> None:
    """Without space, the source stays alone or finished tiles are kept; with space, the same call completes."""
    scan, out = tmp_path / "a.ply", small_disk / "out"
    pos = np.random.default_rng(0).random((20_000, 3)).astype(np.float32) * (20, 20, 3)
    write_ply(scan, dict(zip("xyz", pos.T.astype(np.float32))))
    options = {
        "ckpt": write_checkpoint(tmp_path / "a.ckpt"),
        "together": True,
        "progress_bar": False,
        "units": "m",
    }
    for size, message in (("16k", "are free"), ("600k", "No space left")):
        resize(small_disk, size)
        with pytest.raises(UserError, match=message):
            predict_file(scan, out=out, **options)
        assert not [name for name in files_in(small_disk) if name.endswith((".ply", ".tmp"))]
    assert "out/.a.tiles/finished" in files_in(small_disk)
    resize(small_disk, "4m")
    predict_file(scan, out=out, **options)
    assert files_in(small_disk) == {"out/a_labeled.ply"}
    assert (PlyData.read(out / "a_labeled.ply")["vertex"]["predicted_class"] >= 0).all()


def test_a_read_only_folder(tmp_path: Path, small_disk: Path) -> None:
    """One line before the work; the permissions of a file system also bind the superuser."""
    scan = tmp_path / "a.ply"
    write_ply(scan, dict(zip("xyz", np.random.default_rng(0).random((3, 100)).astype(np.float32))))
    resize(small_disk, "16k,ro")
    ckpt = write_checkpoint(tmp_path / "a.ckpt")
    for together in (True, False):
        for out, message in ((small_disk, "not writable"), (small_disk / "new", "cannot be created")):
            with pytest.raises(UserError, match=message) as error:
                predict_file(scan, ckpt=ckpt, out=out, together=together, progress_bar=False, units="m")
            assert not clear(error.value, str(out))
    assert files_in(small_disk) == set()
