"""``pcseg check`` reports every planted error, and passes sound data."""

from pathlib import Path

import numpy as np
import pytest
from helpers.clouds_on_disk import own_room, write_own_folder, write_own_ply
from helpers.fake_images import save, write_images
from helpers.fakes import write_fake_building

from data_prep.folder import prepare
from pcseg.cli import main
from pcseg.data.inspect_cloud import count_duplicates


def check(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str]:
    """Run ``pcseg check`` and return its exit status and output."""
    status = 0
    try:
        main(["check", *map(str, args)])
    except SystemExit as stop:
        status = int(stop.code or 0)
    output = capsys.readouterr()
    return status, output.out + output.err


def test_sound_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, output = check(capsys, write_own_folder(tmp_path))
    assert status == 0
    assert "4 files checked, no problems found" in output
    counts = np.bincount(own_room(10)["label"])
    for number, name in enumerate(("floor", "ceiling", "wall", "table")):
        line = next(line for line in output.splitlines() if f" {name} " in line)
        assert f"{counts[number]:,}" in line  # the points of the test
    assert "points in train" in output


@pytest.mark.slow
def test_every_planted_error_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yaml = write_own_folder(tmp_path)
    yaml.write_text(yaml.read_text() + "units: m\nup: z\n")
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
    large = own_room(30, num_points=30_000)  # the axis of a closed cube of few points is not certain
    below = large["label"] != 1
    large = {name: column[below] for name, column in large.items()}
    write_own_ply(folder / "millimeters.ply", large | {"pos": large["pos"] * 1000})
    write_own_ply(folder / "y_up.ply", large | {"pos": large["pos"][:, [0, 2, 1]] * [2, 1, -2]})
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
    status, output = check(capsys, yaml)
    assert status == 1
    for text in (
        "unknown.ply: label 99 (4 points) is not a class",
        "odd_positions.ply: 5 points have NaN or infinite coordinates",
        "odd_positions.ply: 10 points (0.7%) are duplicates",
        "millimeters.ply: the unit looks like mm, not m",
        "y_up.ply: the up axis looks like y, not z",
        "dark.ply: the largest color value is",
        "no_class.ply: all points are unlabeled",
        "tiny.ply: only 3 points",
        "empty.ply: no points",
        "cut.ply: announces 1500 points but holds",
        "class 'table' occurs only in 'train'",
        "3 of 14 files cannot be used",
    ):
        assert text in output, text


def test_prepared_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_fake_building(tmp_path / "data", rooms={"Area_1": 2, "Area_5": 1}, num_points=1500)
    status, output = check(capsys, root)
    assert status == 0
    assert "class 'sofa' has no points" in output
    (root / "Area_1" / "office_2.h5").write_bytes((root / "Area_1" / "office_2.h5").read_bytes()[:2000])
    status, output = check(capsys, root)
    assert status == 1
    assert "office_2.h5" in output


def test_duplicates_are_counted_once() -> None:
    pos = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 1e-9]])
    assert count_duplicates(pos) == 2
    assert count_duplicates(pos[:0]) == 0


def test_single_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room = own_room(3)
    write_own_ply(tmp_path / "scan.ply", room | {"pos": room["pos"] * 1000})
    status, output = check(capsys, tmp_path / "scan.ply")
    assert status == 0
    assert "1 file checked, no problems found" in output
    status, output = check(capsys, tmp_path / "scan.ply", "--units", "m", "--up", "z")
    assert "scan.ply: the unit looks like mm, not m" in output
    (tmp_path / "cut.ply").write_bytes((tmp_path / "scan.ply").read_bytes()[:-40])
    assert check(capsys, tmp_path / "cut.ply")[0] == 1


def test_image_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_images(tmp_path / "ade", "ade20k")
    status, output = check(capsys, root, "--images", "ade20k")
    assert status == 0
    assert "training: 3 images, 3 read, 0 errors" in output
    assert "the complete release has 20,210" in output
    save(np.zeros((5, 5), np.uint8), next((root / "annotations" / "training").iterdir()))
    status, output = check(capsys, root, "--images", "ade20k", "--splits", "training")
    assert status == 1
    assert "5 x 5 labels for the 64 x 48 pixels" in output
    assert "1 images cannot be used" in output


def test_folder_of_unknown_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, output = check(capsys, tmp_path)
    assert status == 1
    assert "no manifest.json in it. For an image data set, give --images." in output
    status, output = check(capsys, tmp_path, "--splits", "train")
    assert "options of image data sets" in output


@pytest.mark.slow
def test_several_scans_are_a_table_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = []
    for number, suffix in enumerate((".ply", ".PLY")):
        files.append(write_own_ply(tmp_path / f"room[{number}]{suffix}", own_room(number)))
    status, output = check(capsys, *files)
    assert status == 0
    for file in files:
        assert f"{file}: 1 file checked, no problems found." in output
    for text in ("understood as", "used as", "1,500", "position", "spacing"):
        assert output.count(text) >= 2, text
    (tmp_path / "cut.ply").write_bytes(files[0].read_bytes()[:-40])
    status, output = check(capsys, files[0], tmp_path / "cut.ply", tmp_path / "none.las")
    assert status == 1
    assert "error: " in output
    assert "2 of 3 paths cannot be used" in output
    assert f"{files[0]}: 1 file checked" in output
    yaml = write_own_folder(tmp_path)
    assert check(capsys, files[0], yaml)[0] == 0


@pytest.mark.slow
def test_remarks_of_readers_are_printed_once_per_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml = write_own_folder(tmp_path)
    for number in range(3):
        room = own_room(number)
        label = room["label"].astype(np.float32)
        label[: number + 1] = np.nan
        color = (room["color"] / 255).astype(np.float32)
        write_own_ply(
            tmp_path / "my_rooms" / "train" / f"room_{number}.ply", room | {"label": label, "color": color}
        )
    status, output = check(capsys, yaml)
    assert status == 0
    assert output.count("note: colors: ") == 1
    assert "(3 files, such as train/room_0.ply)" in output
    prepare(yaml, tmp_path / "out", workers=1)
    reported = capsys.readouterr().out
    assert reported.count("note: colors: ") == reported.count("note: labels: ") == 1
    assert "note: labels: 1 points have none (NaN) (3 files, such as train/room_0.h5)" in reported
    prepare(yaml, tmp_path / "out", workers=1)
    assert "note: labels: 1 points" in capsys.readouterr().out
