"""Submissions to ScanNet: from raw scans to a valid archive, and archives that the benchmark would reject."""

import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.raw_scans import write_release

from data_prep.scannet import prepare
from pcseg.cli import main, run
from pcseg.data.manifest import Manifest
from pcseg.data.predictions import SavedPrediction, read_prediction, write_prediction
from pcseg.data.schemas import (
    SCANNET20,
    SCANNET20_BENCHMARK,
    SCANNET200,
    SCANNET200_BENCHMARK,
    Benchmark,
)
from pcseg.errors import UserError
from pcseg.evaluation.evaluate import evaluate
from pcseg.evaluation.submission import require_complete, submit, write_archive
from pcseg.labels import S3DIS, LabelSchema
from pcseg.training.train import train

ROOT = Path(__file__).resolve().parents[2]
SCANS = [f"scene000{k}_00" for k in range(4)] + ["scene0011_00", "scene0707_00", "scene0708_00"]
TINY = {"channels": [4, 4], "layers": [1, 1], "base_channels": 4}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = write_release(tmp_path_factory.mktemp("raw") / "raw", SCANS)
    (raw / "rooms.json").touch()  # marks generated data: the real release must have all 100 scans
    return raw


@pytest.fixture(scope="module")
def prepared(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    prepare(raw, out, workers=1)
    return out


def write_predictions(folder: Path, root: Path, *, schema: LabelSchema = SCANNET20) -> Path:
    """Write a prediction for every scan of a split and return ``folder``."""
    for seed, entry in enumerate(entry for entry in Manifest.read(root).scenes if entry.split == "test"):
        label = np.random.default_rng(seed).integers(0, schema.num_classes, entry.num_points).astype(np.int16)
        saved = SavedPrediction(
            label=label, confidence=np.ones(len(label), np.float32), schema=schema, source=entry.name,
            checkpoint="abc",
        )  # fmt: skip
        write_prediction(folder / "test" / f"{entry.name}.npz", saved)
    return folder


def change(path: Path, **fields: object) -> None:
    write_prediction(path, replace(read_prediction(path), **fields))


@pytest.fixture
def predictions(prepared: Path, tmp_path: Path) -> Path:
    return write_predictions(tmp_path / "predictions", prepared)


def pack(out: Path, root: Path, predictions: Path, *, benchmark: Benchmark = SCANNET20_BENCHMARK) -> None:
    entries = tuple(entry for entry in Manifest.read(root).scenes if entry.split == "test")
    write_archive(out, predictions, entries, benchmark)


def ids_in(archive: Path) -> dict[str, list[int]]:
    with zipfile.ZipFile(archive) as files:
        return {
            name: [int(line) for line in files.read(name).decode().splitlines()] for name in files.namelist()
        }


@pytest.mark.parametrize(
    ("classes", "schema", "benchmark"),
    [(20, SCANNET20, SCANNET20_BENCHMARK), (200, SCANNET200, SCANNET200_BENCHMARK)],
)
def test_the_archive_has_the_ids_of_the_benchmark_in_vertex_order(
    raw: Path, tmp_path: Path, classes, schema, benchmark
) -> None:
    prepare(raw, tmp_path / "data", classes=classes, splits="test", workers=1)
    folder = write_predictions(tmp_path / "predictions", tmp_path / "data", schema=schema)
    out = tmp_path / "new" / "scannet.zip"
    pack(out, tmp_path / "data", folder, benchmark=benchmark)
    assert f": 2 scans, 2,402 vertices, {classes} classes." in submit(
        out=out, root=tmp_path / "data", check=True
    )
    found = ids_in(out)
    assert list(found) == ["scene0707_00.txt", "scene0708_00.txt"]
    for name, ids in found.items():
        label = read_prediction(folder / "test" / f"{name[:-4]}.npz").label
        assert ids == [benchmark.ids[k] for k in label]
    first = out.read_bytes()
    pack(out, tmp_path / "data", folder, benchmark=benchmark)
    assert out.read_bytes() == first
    assert [path.name for path in out.parent.iterdir()] == ["scannet.zip"]


@pytest.mark.slow
def test_from_raw_scans_to_a_submission(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = {
        "backbone": {"class_path": "pcseg.backbones.points.sparse_unet.SparseUNet", "init_args": TINY},
        "trainer": {"max_epochs": 2, "progress_bar": False, "accelerator": "cpu"},
    }
    (tmp_path / "tiny.yaml").write_text(json.dumps(pieces))
    options = {"root": prepared, "grid_size": 0.2, "batch_size": 2, "num_workers": 0, "loop": 1}
    args = [arg for key, value in options.items() for arg in (f"--data.{key}", str(value))]
    configs = ["--config", str(ROOT / "configs/scannet/base.yaml"), "--config", str(tmp_path / "tiny.yaml")]
    run(train, args=[*configs, *args, "--out", str(tmp_path / "run")])
    log = (tmp_path / "run" / "logs" / "metrics.csv").read_text()
    assert re.search(r"^1,1,0\.\d+", log, flags=re.MULTILINE), "a second step"
    ckpt = tmp_path / "run" / "best.ckpt"

    report = evaluate(ckpt=ckpt, out=tmp_path / "scores", protocol="scannet", fragments=1, progress_bar=False)
    labeled = sum(
        sum(entry.class_histogram) for entry in Manifest.read(prepared).scenes if entry.split == "val"
    )
    assert report.matrix.labeled.sum() == labeled > 0
    assert (report.provenance["splits"], report.provenance["kept_from_training"]) == (["val"], True)

    out = tmp_path / "scannet.zip"
    common = ["submit-scannet", "--root", str(prepared), "--out", str(out)]
    main([*common, "--ckpt", str(ckpt), "--device", "cpu", "--progress_bar", "false"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 scans, 2,402 vertices, 20 classes." in printed
    assert set(ids_in(out)["scene0707_00.txt"]) <= set(SCANNET20_BENCHMARK.ids)
    note = json.loads(out.with_suffix(".json").read_text())
    assert (note["tta"], note["splits"], note["kept_from_training"]) == (["identity"], ["test"], True)
    main([*common, "--check"])
    assert "Names, counts and ids are correct" in " ".join(capsys.readouterr().out.split())


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), r"scene0707_00\.npz: no such file"),
    "too short": (lambda path: change(path, label=np.zeros(9, np.int16), confidence=np.zeros(9, np.float32)),
                  r"scene0707_00\.txt: 9 lines, but the scan has 1201 vertices"),
    "no class": (lambda path: change(path, label=np.full(1201, -1, np.int16)), "1201 vertices have no class"),
    "damaged": (lambda path: path.write_bytes(path.read_bytes()[:100]), r"scene0707_00\.npz: not a prediction"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_predictions_that_do_not_fit(predictions: Path, prepared: Path, tmp_path: Path, fault: str) -> None:
    harm, message = FAULTS[fault]
    harm(predictions / "test" / "scene0707_00.npz")
    with pytest.raises(UserError, match=message):
        pack(tmp_path / "out" / "s.zip", prepared, predictions)
    assert not list((tmp_path / "out").glob("*")), "nothing half-written"


def repack(path: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]]) -> None:
    with zipfile.ZipFile(path) as files:
        old = {name: files.read(name) for name in files.namelist()}
    with zipfile.ZipFile(path, "w") as files:
        for name, text in old.items():
            for pair in change(name, text):
                files.writestr(*pair)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "in a folder": (lambda path: repack(path, lambda name, text: [(f"s/{name}", text)]), "at the root of the archive"),
    "one missing": (lambda path: repack(path, lambda name, text: [(name, text)] * ("707" in name)),
                    r"scene0708_00\.txt is missing"),
    "a stranger": (lambda path: repack(path, lambda name, text: [(name, text), (f"x{name}", text)]),
                   r"xscene0707_00\.txt is not a scan of the split \(and 1 more\)"),
    "a line too few": (lambda path: repack(path, lambda name, text: [(name, text[text.index(b"\n") + 1 :])]),
                       "1200 lines, but the scan has 1201 vertices"),
    "labels instead of ids": (lambda path: repack(path, lambda name, text: [(name, b"13\n" * 1201)]),
                               "line 1: b'13' is not one of the 20 ids"),
    "words": (lambda path: repack(path, lambda name, text: [(name, b"1\n" * 1200 + b"wall\n")]),
              "line 1201: b'wall' is not one"),
    "no zip": (lambda path: path.write_text("1\n2\n"), "not a readable zip archive"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-40]), "not a readable zip archive"),
    "bytes changed": (lambda path: path.write_bytes(path.read_bytes()[:200] + b"\xff" * 50 + path.read_bytes()[250:]),
                      "not a readable zip archive"),
    "gone": (lambda path: path.unlink(), "no such archive"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_archives_that_the_benchmark_would_reject(
    predictions: Path, prepared: Path, tmp_path: Path, fault: str
) -> None:
    out = tmp_path / "s.zip"
    pack(out, prepared, predictions)
    harm, message = REFUSED[fault]
    harm(out)
    with pytest.raises(UserError, match=message):
        submit(out=out, root=prepared, check=True)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_files_and_other_line_ends(predictions: Path, prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.zip"
    pack(out, prepared, predictions)
    repack(out, lambda name, text: [(name, text.replace(b"\n", b"\r\n").rstrip())])
    submit(out=out, root=prepared, check=True)
    repack(out, lambda name, text: [(name, text)] * 2)
    with pytest.raises(UserError, match="contains a file twice"):
        submit(out=out, root=prepared, check=True)


def test_invalid_options_are_errors(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--out .*: not an archive\. Give a name such as .*out\.zip"):
        submit(out=tmp_path / "out", root=prepared, check=True)
    for both in ({}, {"ckpt": tmp_path / "a.ckpt", "check": True}):
        with pytest.raises(UserError, match="--ckpt, --check: give exactly one"):
            submit(out=tmp_path / "s.zip", root=prepared, **both)
    manifest = Manifest.read(prepared)
    replace(manifest, schema=S3DIS, scenes=()).write(tmp_path)
    with pytest.raises(UserError, match=r"manifest\.json: not the classes of a ScanNet benchmark"):
        submit(out=tmp_path / "s.zip", root=tmp_path, check=True)


def test_the_real_release_must_be_complete(prepared: Path) -> None:
    manifest = replace(Manifest.read(prepared), release="ScanNet v2")
    entry = manifest.scenes[0]
    every = tuple(replace(entry, name=f"scene{space:04d}_00") for space in range(707, 807))
    require_complete(manifest, every, "test", root=prepared)
    with pytest.raises(UserError, match=r"99 test scans, but .* 100, for example scene0707_00 differs"):
        require_complete(manifest, every[1:], "test", root=prepared)
    with pytest.raises(UserError, match=r"100 test scans, but .* 100, for example scene0707_00 differs"):
        require_complete(manifest, (*every[1:], replace(entry, name="scene0900_00")), "test", root=prepared)
    with pytest.raises(UserError, match=r"100 val scans, but .* 312\. Prepare all"):
        require_complete(manifest, every, "val", root=prepared)
