"""Scans that are predicted in tiles: the same classes as in one piece, wherever tiles are cut."""

from collections.abc import Sequence
from pathlib import Path

import laspy
import numpy as np
import pytest
from helpers.checkpoints import with_context, write_checkpoint
from helpers.damage import clear
from plyfile import PlyData

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.data.io import parts
from pcseg.data.io.clouds import read_cloud, read_table
from pcseg.data.io.parts import open_parts
from pcseg.data.io.ply import write_ply
from pcseg.errors import UserError
from pcseg.inference import tile_store, tiles
from pcseg.inference.clouds import predict_cloud
from pcseg.inference.memory import choose_tiles, parse_memory
from pcseg.inference.points import PointOptions
from pcseg.inference.predict import predict_file
from pcseg.inference.tile_store import cut_tiles, within
from pcseg.inference.tiles import TileOptions, predict_in_tiles

PART = 3001
COUNT = 8_000


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (parts, tile_store, tiles):
        monkeypatch.setattr(module, "PART", PART)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_checkpoint(write_checkpoint(tmp_path_factory.mktemp("ckpt") / "a.ckpt"))


def hall(count: int = COUNT) -> dict[str, np.ndarray]:
    """Floor and ceiling of a hall, a point without a position, and one far away."""
    rng = np.random.default_rng(0)
    pos = (rng.random((count, 3)) * [24, 16, 0.05]).astype(np.float32)
    pos[::2, 2] += 2.9
    pos[17:18], pos[18:19] = np.nan, 1e5
    color = rng.integers(0, 256, (count, 3)).astype(np.uint8)
    return dict(zip("xyz", pos.T)) | dict(zip(("red", "green", "blue"), color.T))


def in_tiles(
    model: LoadedModel, sources: Sequence[Path], out: Path, points: int = 2000, margin: float = 2.0
) -> tuple[list[np.ndarray], list[str]]:
    options = TileOptions(points=PointOptions(points_per_pass=points, margin=margin), units="m", up="z")
    paths, remarks = predict_in_tiles(
        model, [open_parts(path) for path in sources], out, options=options, on_progress=lambda *_: None
    )
    assert not list(out.glob(".*"))
    return [read_table(path).columns["predicted_class"] for path in paths], remarks


def number_of_tiles(remarks: list[str]) -> int:
    return int(next(line for line in remarks if line.startswith("prediction:")).split()[-2])


@pytest.mark.slow
def test_tiles_give_the_classes_of_the_whole(
    tmp_path: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "hall.ply", tmp_path / "out"
    write_ply(source, hall())
    out.mkdir()
    (tmp_path / "narrow").mkdir()
    whole = predict_cloud(model, read_cloud(source), units="m", up="z")
    assert len(np.unique(whole.label)) > 2
    labels = []
    for cell in (2.0, 1.3):  # meters; they decide where tiles are cut
        monkeypatch.setattr(tile_store, "CELL", cell)
        (label,), remarks = in_tiles(model, [source], out)
        assert number_of_tiles(remarks) > 5
        np.testing.assert_array_equal(label, whole.label)
        labels += in_tiles(model, [source], tmp_path / "narrow", margin=0.4)[0]
    vertex = PlyData.read(out / "hall_labeled.ply")["vertex"]
    np.testing.assert_array_equal(vertex["confidence"], whole.confidence)
    np.testing.assert_array_equal(vertex["x"], hall()["x"])
    assert (labels[0] == labels[1]).mean() >= 0.997


@pytest.mark.slow
def test_context_does_not_depend_on_tiles(
    tmp_path: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head that sees everything in a pass gives the same classes wherever tiles are cut, as in one piece."""
    source, far = tmp_path / "hall.ply", with_context(model)
    write_ply(source, hall(4000))
    points = PointOptions(points_per_pass=2800, margin=0.4, blend=True)
    whole = predict_cloud(far, read_cloud(source), units="m", up="z", options=points)
    assert len(np.unique(whole.confidence)) > 500
    monkeypatch.setattr(tile_store, "CELL", 1.3)
    options = TileOptions(points=points, units="m", up="z", max_voxels=2000)
    files = [open_parts(source)]
    paths, remarks = predict_in_tiles(far, files, tmp_path, options=options, on_progress=lambda *_: None)
    assert number_of_tiles(remarks) > 2
    columns = read_table(paths[0]).columns
    np.testing.assert_array_equal(columns["predicted_class"], whole.label)
    np.testing.assert_allclose(columns["confidence"], whole.confidence, rtol=1e-5)


@pytest.mark.slow
def test_several_files_are_one_scan(tmp_path: Path, model: LoadedModel) -> None:
    """The context of a point may lie in another file; formats may differ, and each keeps its own."""
    columns, out = hall(), tmp_path / "out"
    out.mkdir()
    for name in ("x", "y", "z"):
        columns[name] = np.round(np.nan_to_num(columns[name]), 3)
    rows = np.arange(COUNT) % 2 == 0
    paths = [tmp_path / "all.ply", tmp_path / "even.ply", tmp_path / "odd.npz"]
    write_ply(paths[0], columns)
    write_ply(paths[1], {name: column[rows] for name, column in columns.items()})
    np.savez(paths[2], **{name: column[~rows] for name, column in columns.items()})
    (whole,), _ = in_tiles(model, paths[:1], out)
    (even, odd), _ = in_tiles(model, paths[1:], out)
    assert (np.concatenate([even, odd]) == np.concatenate([whole[rows], whole[~rows]])).mean() > 0.99
    assert sorted(path.name for path in out.iterdir()) == [
        "all_labeled.ply",
        "even_labeled.ply",
        "odd_labeled.npz",
    ]


@pytest.mark.parametrize("count", [1, 2, PART])
def test_few_points(tmp_path: Path, model: LoadedModel, count: int) -> None:
    source = tmp_path / "few.ply"
    write_ply(source, {name: column[:count] for name, column in hall().items()})
    (label,), _ = in_tiles(model, [source], tmp_path)
    assert len(label) == count
    assert (label >= 0).sum() == max(0, count - 2) + (min(count, 2) if count < 3 else 0)


def test_no_points(tmp_path: Path, model: LoadedModel) -> None:
    source = tmp_path / "few.ply"
    write_ply(source, {name: column[:0] for name, column in hall().items()})
    with pytest.raises(UserError, match=r"few\.ply: holds no points"):
        in_tiles(model, [source], tmp_path)


def write_laz(path: Path, count: int = COUNT) -> Path:
    columns = hall(count)
    las = laspy.create(point_format=7, file_version="1.4")
    las.header.scales = [0.001] * 3
    las.x, las.y, las.z = (np.clip(np.nan_to_num(columns[axis]), -50, 50) for axis in "xyz")
    las.red, las.green, las.blue = (
        columns[name].astype(np.uint16) * 257 for name in ("red", "green", "blue")
    )
    las.gps_time = np.arange(count, dtype=float)
    las.write(str(path))
    return path


@pytest.mark.slow
def test_an_interrupted_prediction_resumes(
    tmp_path: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished tiles are not predicted again, unless the file has changed."""
    source, out = tmp_path / "hall.ply", tmp_path / "out"
    write_ply(source, hall())
    out.mkdir()
    (label,), remarks = in_tiles(model, [source], out)
    number = number_of_tiles(remarks)
    predicted = []
    original = tiles._predict_rows

    def counted(*args, stop: int = 10**9):
        if len(predicted) == stop:
            raise KeyboardInterrupt
        predicted.append(1)
        return original(*args)

    monkeypatch.setattr(tiles, "_predict_rows", lambda *args: counted(*args, stop=3))
    with pytest.raises(KeyboardInterrupt, match="run the command again"):
        in_tiles(model, [source], out)
    predicted.clear()
    monkeypatch.setattr(tiles, "_predict_rows", counted)
    (again,), _ = in_tiles(model, [source], out)
    assert len(predicted) == number - 3
    np.testing.assert_array_equal(again, label)


@pytest.mark.slow
def test_a_damaged_chunk(tmp_path: Path, model: LoadedModel) -> None:
    """A corrupt chunk in the middle of a LAZ file is one error, and nothing is written."""
    source = write_laz(tmp_path / "hall.laz", 120_000)
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    source.write_bytes(data)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UserError) as error:
        in_tiles(model, [source], out)
    assert not clear(error.value, "hall.laz")
    assert list(out.iterdir()) == []


def test_the_choice_of_tiles(tmp_path: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    source, text = tmp_path / "hall.ply", tmp_path / "hall.txt"
    write_ply(source, hall())
    text.write_text("1 2 3\n" * 1000)
    assert not choose_tiles(source, None, columns=None)
    monkeypatch.setattr("pcseg.inference.memory.DEFAULT", 1000)
    assert choose_tiles(source, None, columns=None)
    assert not choose_tiles(text, None, columns=None)
    with pytest.raises(UserError, match=r"hall\.txt: too large .*Convert it to LAZ or binary PLY"):
        choose_tiles(text, 1000, columns=None)
    packed = tmp_path / "hall.npz"
    np.savez_compressed(packed, pos=np.zeros((5, 3)))
    with pytest.raises(UserError, match=r"compressed\. Write it with numpy\.savez"):
        open_parts(packed)
    assert parse_memory("1.5 GiB") == 1.5 * 2**30
    for wrong in ("", "4", "-1GiB", "nanGiB", "1MiB", "1e9GiB", "9999999999999GiB"):
        with pytest.raises(UserError, match="--memory"):
            parse_memory(wrong)


def test_options_that_do_not_apply(tmp_path: Path, model: LoadedModel) -> None:
    source = tmp_path / "hall.ply"
    write_ply(source, hall(100))
    with pytest.raises(UserError, match="--fragments all"):
        predict_file(
            source, ckpt=model.path, out=tmp_path, together=True, fragments="all", progress_bar=False
        )
    with pytest.raises(UserError, match="several files"):
        predict_file([source, source], ckpt=model.path, out=tmp_path, progress_bar=False)


def test_tiles_hold_every_cell_once() -> None:
    rng = np.random.default_rng(0)
    xy = np.unique(rng.integers(-9, 9, (200, 2)), axis=0)
    count = np.full(len(xy), 10)
    cells = tile_store.Cells(part=count * 0, xy=xy, start=np.cumsum(count) - count, count=count, voxels=count)
    found = cut_tiles(cells, margin=1, max_voxels=300, max_rows=10**6)
    inside = sum(within(xy, low, high).astype(int) for low, high in found)
    assert (inside == 1).all()
    assert all(10 * within(xy, low - 1, high + 1).sum() <= 300 for low, high in found)
