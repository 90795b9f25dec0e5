"""Scans in tiles whose files vanish, change, or hold little: one clear error, nothing half-written, tiles kept."""

import resource
import signal
from pathlib import Path

import laspy
import numpy as np
import pytest
from helpers.checkpoints import write_checkpoint
from helpers.damage import clear

from pcseg.data.io import parts
from pcseg.data.io.clouds import read_table
from pcseg.data.io.ply import write_ply
from pcseg.errors import UserError
from pcseg.inference import tile_store, tiles
from pcseg.inference.predict import predict_file
from pcseg.labels import LabelSchema

MANY = LabelSchema(name="many", names=tuple(f"class {i}" for i in range(300)), colors=((1, 2, 3),) * 300)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (parts, tile_store, tiles):
        monkeypatch.setattr(module, "PART", 1501)


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("ckpt") / "a.ckpt")


def points(count: int = 4000) -> np.ndarray:
    return (np.random.default_rng(0).random((count, 3)) * (20, 20, 3)).astype(np.float32)


def write(path: Path, pos: np.ndarray) -> Path:
    if path.suffix == ".ply":
        write_ply(path, dict(zip("xyz", pos.T)))
    elif path.suffix == ".npz":
        np.savez(path, pos=pos)
    else:
        las = laspy.create(point_format=7, file_version="1.4")
        las.header.scales = [0.001] * 3
        las.x, las.y, las.z = pos.T.astype(float)
        las.write(str(path))
    return path


def label(sources: list[Path], out: Path, ckpt: Path) -> list[np.ndarray]:
    """Predict files in tiles and return the written classes."""
    options = {"units": "m", "up": "z", "points_per_pass": 1500, "progress_bar": False}
    predict_file(sources, ckpt=ckpt, out=out, together=True, **options)
    assert not list(out.glob(".*"))
    return [
        read_table(out / f"{path.stem}_labeled{path.suffix}").columns["predicted_class"] for path in sources
    ]


def fails(message: str, sources: list[Path], out: Path, ckpt: Path) -> None:
    with pytest.raises(UserError, match=message) as error:
        label(sources, out, ckpt)
    assert not clear(error.value, "")
    written = [path.name for path in out.rglob("*")] if out.is_dir() else []
    assert not [name for name in written if "_labeled" in name or name.endswith((".tmp", ".lock"))]


@pytest.mark.parametrize("suffix", [".ply", pytest.param(".laz", marks=pytest.mark.slow)])
def test_a_file_that_vanishes(
    tmp_path: Path, ckpt: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """The tiles of a file that was removed while they were predicted are used once it is back."""
    source, out, away = write(tmp_path / f"a{suffix}", points()), tmp_path / "out", tmp_path / "away"
    (expected,) = label([source], tmp_path / "whole", ckpt)
    predicted, original = [], tiles._predict_rows

    def removing(*args):
        predicted.append(1)
        if len(predicted) == 3:
            source.rename(away)
        return original(*args)

    monkeypatch.setattr(tiles, "_predict_rows", removing)
    fails(rf"a\{suffix}: No such file.*finished tiles are kept", [source], out, ckpt)
    fails(rf"a\{suffix}: no such file", [source], out, ckpt)
    away.rename(source)
    number = len(predicted)
    (found,) = label([source], out, ckpt)
    assert len(predicted) == number > 5
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".ply", ".laz"])
def test_the_second_file_vanishes_while_the_first_is_read(
    tmp_path: Path, ckpt: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    sources = [write(tmp_path / f"{name}{suffix}", points()) for name in "ab"]
    original = tile_store.TileStore._part

    def removing(*args):
        sources[1].unlink(missing_ok=True)
        return original(*args)

    monkeypatch.setattr(tile_store.TileStore, "_part", removing)
    fails(rf"b\{suffix}: (No such file|no longer exists)", sources, tmp_path / "out", ckpt)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".ply", pytest.param(".npz", marks=pytest.mark.slow)])
def test_a_file_that_changes(
    tmp_path: Path, ckpt: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    source, out = write(tmp_path / f"a{suffix}", points()), tmp_path / "out"
    original = tiles._predict_rows

    def cutting(*args):
        if source.stat().st_size > 30_000:
            with source.open("r+b") as file:
                file.truncate(20_000)
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(tiles, "_predict_rows", cutting)
        fails(rf"a\{suffix}: changed while it was predicted", [source], out, ckpt)
    write(source, points(5000))
    (found,) = label([source], out, ckpt)
    assert len(found) == 5000
    assert (found >= 0).all()


@pytest.mark.slow
def test_files_may_not_become_large(tmp_path: Path, ckpt: Path) -> None:
    """A limit of the operating system on the size of files stops the command; without it, the tiles are used."""
    source, out = write(tmp_path / "a.ply", points()), tmp_path / "out"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for limit, kept in ((30_000, False), (60_000, True)):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            fails("File too large", [source], out, ckpt)
            assert (out / ".a.tiles" / "finished").exists() == kept
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    (found,) = label([source], out, ckpt)
    assert (found >= 0).all()


def test_a_file_instead_of_a_folder(tmp_path: Path, ckpt: Path) -> None:
    source, out = write(tmp_path / "a.ply", points(100)), tmp_path / "out"
    fails("cannot be created", [source], source / "out", ckpt)
    out.mkdir()
    (out / ".a.tiles").write_text("a file")
    fails(r"\.a\.tiles: File exists. Check it", [source], out, ckpt)
    (out / ".a.tiles").unlink()
    label([source], out, ckpt)


@pytest.mark.parametrize(
    "suffix", [".ply", *(pytest.param(name, marks=pytest.mark.slow) for name in (".npz", ".laz"))]
)
def test_few_and_far_points(tmp_path: Path, ckpt: Path, suffix: str) -> None:
    """One point; no position at all; rooms far apart, with nothing in between; points far outside get no class."""
    one = points(1)
    two = np.concatenate([points(1000), points(1000) + np.float32([300, 80, 0])])
    far = points()
    far[5:8] = [1e6, 0, 0], [0, -2e5, 0], [0, 0, 9e5]
    cases = {"one": (one, 1), "far": (far, len(far) - 3)}
    if suffix != ".laz":
        cases["two"] = two, len(two)
        far[8], far[9] = np.nan, np.inf
        far[10] = 1e30
        cases |= {"far": (far, len(far) - 6), "none": (np.full_like(far, np.nan), 0)}
        part = points()
        part[1501:3002] = np.nan
        cases["part"] = (part, len(part) - 1501)
    for name, (pos, count) in cases.items():
        (found,) = label([write(tmp_path / f"{name}{suffix}", pos)], tmp_path / "out", ckpt)
        assert (found >= 0).sum() == count, name


@pytest.mark.slow
def test_a_legend_of_300_classes(tmp_path: Path) -> None:
    """They exceed the classification of LAS, which stays; the extra bytes hold them."""
    source, out = write(tmp_path / "a.laz", points()), tmp_path / "out"
    ckpt = write_checkpoint(tmp_path / "many.ckpt", schema=MANY)
    (found,) = label([source], out, ckpt)
    assert found.min() >= 0
    assert found.max() < 300
    las = laspy.read(out / "a_labeled.laz")
    assert not np.asarray(las.classification).any()
    assert "original_classification" not in las.point_format.dimension_names
