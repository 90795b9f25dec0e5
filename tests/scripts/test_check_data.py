"""The check of own data names everything that was put wrong, and passes what is sound."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from helpers.clouds_on_disk import own_room, write_own_folder, write_own_ply
from helpers.fakes import write_fake_building

from data_prep.own.check import count_duplicates
from pcseg.cli import run

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check_data.py"


def check(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status, and what was said with blanks in place of line breaks."""
    status = 0
    try:
        run(runpy.run_path(str(SCRIPT))["check_data"], args=[str(path)])
    except SystemExit as stop:
        status = int(stop.code or 0)
    said = capsys.readouterr()
    return status, said.out + said.err


def test_sound_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = check(write_own_folder(tmp_path), capsys)
    assert status == 0
    assert "nothing is odd" in said
    counts = np.bincount(own_room(10)["label"])
    for number, name in enumerate(("floor", "ceiling", "wall", "table")):
        line = next(line for line in said.splitlines() if f" {name} " in line)
        assert f"{counts[number]:,}" in line  # the points of the test
    assert "points in train" in said


def test_everything_that_was_put_wrong_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yaml = write_own_folder(tmp_path)
    folder = tmp_path / "my_rooms" / "train"

    def spoil(name: str, seed: int = 30, **changes: np.ndarray) -> None:
        write_own_ply(folder / name, own_room(seed) | changes)

    room = own_room(30)
    label = room["label"].copy()
    label[:4] = 99
    spoil("unknown.ply", label=label)
    pos = room["pos"].copy()
    pos[:5] = np.nan
    pos[100:110] = pos[200]
    spoil("odd_positions.ply", pos=pos)
    spoil("millimetres.ply", pos=room["pos"] * 1000)
    spoil("y_up.ply", pos=room["pos"][:, [0, 2, 1]] * [1, 1, -1])
    spoil("dark.ply", color=room["color"] // 16)
    spoil("no_class.ply", label=np.full(1500, 255))
    write_own_ply(folder / "tiny.ply", {key: value[:3] for key, value in room.items()})
    write_own_ply(folder / "empty.ply", {key: value[:0] for key, value in room.items()})
    (folder / "cut.ply").write_bytes((folder / "dark.ply").read_bytes()[:-40])
    (tmp_path / "my_rooms" / "test" / "room_0.ply").unlink()
    for number in range(2):
        test = own_room(40 + number)
        test["label"][test["label"] == 3] = 2
        write_own_ply(tmp_path / "my_rooms" / "test" / f"room_{number}.ply", test)
    status, said = check(yaml, capsys)
    assert status == 1
    for text in (
        "unknown.ply: label 99 (4 points) is no class",
        "odd_positions.ply: 5 points have no position",
        "odd_positions.ply: 10 points (0.7%) lie exactly on another one",
        "millimetres.ply: looks like mm, not m",
        "y_up.ply: looks as if y were up, not z",
        "dark.ply: colours reach only",
        "no_class.ply: no point has a class",
        "tiny.ply: only 3 points",
        "empty.ply: no points",
        "cut.ply: announces 1500 points but holds",
        "class 'table' occurs in 'train' only",
        "3 of 14 files cannot be used",
    ):
        assert text in said, text


def test_a_prepared_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_fake_building(tmp_path / "data", rooms={"Area_1": 2, "Area_5": 1}, num_points=1500)
    status, said = check(root, capsys)
    assert status == 0
    assert "class 'sofa' has no point" in said
    (root / "Area_1" / "office_2.h5").write_bytes((root / "Area_1" / "office_2.h5").read_bytes()[:2000])
    status, said = check(root, capsys)
    assert status == 1
    assert "office_2.h5" in said


def test_duplicates_are_counted_once_each() -> None:
    pos = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 1e-9]])
    assert count_duplicates(pos) == 2
    assert count_duplicates(pos[:0]) == 0
