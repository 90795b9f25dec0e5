"""The command ``pcseg cross-validate`` on small areas: the sum, refused folds, and resuming after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.fakes import write_fake_building

from pcseg.cli import run
from pcseg.errors import UserError
from pcseg.evaluation import cross_validation as crossval
from pcseg.evaluation.cross_validation import cross_validate, sum_folds
from pcseg.evaluation.report import Report, read_report
from pcseg.training.train import train

pytestmark = pytest.mark.filterwarnings(
    "ignore:Experiment logs directory",  # from lightning, for a resumed run
    "ignore:.*max_epochs.*reached",
)

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
data:
  class_path: pcseg.data.room_data.RoomData
  init_args: {root: ROOT, grid_size: 0.3, batch_size: 2}
backbone: {class_path: helpers.fakes.ConvBackbone}
head: {class_path: pcseg.heads.LinearHead}
optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.01}}
trainer: {max_epochs: 3, progress_bar: false, accelerator: cpu}
out: unused
"""


def in_this_process(args: list[str]) -> int:
    try:
        run(train, args=list(args))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossval, "run_training", in_this_process)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("building")
    rooms = {"Area_1": 2, "Area_2": 2, "Area_5": 1}
    write_fake_building(folder / "data", rooms=rooms, num_points=400)
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.replace("ROOT", str(folder / "data")))
    return path


def cross(recipe: Path, out: Path, *, tta: bool = False, folds: list[str] | None = None) -> Report:
    return cross_validate(
        str(recipe), out=out, device="cpu", fragments=1, progress_bar=False, tta=tta, folds=folds
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished cross-validation."""
    out = tmp_path_factory.mktemp("done") / "sixfold"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crossval, "run_training", in_this_process)
        cross(recipe, out, tta=True)
    return out


def test_the_sum_of_all_folds(done: Path) -> None:
    report = read_report(done)
    folds = [read_report(done / area / "evaluation") for area in ("Area_1", "Area_2", "Area_5")]
    assert torch.equal(report.matrix.counts, sum(fold.matrix.counts for fold in folds))
    assert report.matrix.labeled.sum() == 5 * 400
    assert report.single_pass is not None
    assert torch.equal(report.single_pass.counts, sum(f.single_pass.counts for f in folds))  # type: ignore[union-attr]
    assert report.boundary is not None
    assert torch.equal(report.boundary.union, sum(f.boundary.union for f in folds))  # type: ignore[union-attr]
    assert report.rooms is not None
    assert len(report.rooms.names) == 5
    record = report.provenance
    assert (record["splits"], record["scenes"], record["points"]) == (["Area_1", "Area_2", "Area_5"], 5, 2000)
    assert len(set(record["checkpoint"])) == 3
    assert "Area_1, Area_2, Area_5" in (done / "results.md").read_text()
    for area, fold in zip(("Area_1", "Area_2", "Area_5"), folds):
        assert fold.provenance["splits"] == [area]
        assert fold.provenance["kept_from_training"] is True


def test_running_again_changes_nothing(done: Path, recipe: Path) -> None:
    files = [
        done / "results.json",
        done / "Area_1" / "logs" / "metrics.csv",
        done / "Area_1" / "best.ckpt",
        done / "Area_5" / "last.ckpt",
    ]
    before = [path.read_bytes() for path in files]
    cross(recipe, done, tta=True)
    assert [path.read_bytes() for path in files] == before


def change(folder: Path, **entries: object) -> None:
    path = folder / "results.json"
    fields = json.loads(path.read_text())
    fields["provenance"] |= entries
    path.write_text(json.dumps(fields))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"grid_size": 0.04}, r"not trained or scored alike.*: grid_size \(0\.3 and 0\.04\)"),
        ({"tta": ["identity"], "passes": 1}, "tta .*passes"),
        ({"recipe": "another"}, "recipe"),
        ({"seed": 7}, "seed"),
        ({"splits": ["Area_1"]}, "Area_1 is tested in more than one fold"),
        ({"kept_from_training": False}, "training may have seen the test area"),
        ({"kept_from_training": None}, "kept_from_training"),
    ],
)
def test_folds_that_differ_are_not_added(done: Path, tmp_path: Path, entries: dict, message: str) -> None:
    folders = []
    for area in ("Area_1", "Area_2"):
        folder = tmp_path / area
        folder.mkdir()
        for name in ("results.json", "rooms.npz"):
            (folder / name).write_bytes((done / area / "evaluation" / name).read_bytes())
        folders.append(folder)
    sum_folds(folders)
    change(folders[1], **entries)
    if entries == {"kept_from_training": False}:
        change(folders[0], **entries)
    with pytest.raises(UserError, match=message):
        sum_folds(folders)


def test_a_failed_fold_does_not_stop_the_others(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(args: list[str]) -> int:
        return 1 if "[Area_1]" in args else in_this_process(args)

    monkeypatch.setattr(crossval, "run_training", fails)
    with pytest.raises(UserError, match=r"Area_1 \(training ended with status 1"):
        cross(recipe, tmp_path / "out", folds=["Area_1", "Area_2"])
    assert (tmp_path / "out" / "Area_2" / "evaluation" / "results.json").exists()
    assert not (tmp_path / "out" / "results.json").exists()
    monkeypatch.setattr(crossval, "run_training", in_this_process)
    cross(recipe, tmp_path / "out", folds=["Area_1", "Area_2"])
    assert (tmp_path / "out" / "results.json").exists()


def test_invalid_folds_are_errors(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no area or split 'Area_9'\\. Choose from Area_1, Area_2, Area_5"):
        cross(recipe, tmp_path, folds=["Area_1", "Area_9"])
    with pytest.raises(UserError, match="two areas or more"):
        cross(recipe, tmp_path, folds=["Area_1"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_killed_cross_validation_resumes_exactly(done: Path, recipe: Path, tmp_path: Path) -> None:
    """Kill it inside the second fold; its training ends too, and the resumed run equals an uninterrupted one."""
    out = tmp_path / "out"
    options = ["--device", "cpu", "--fragments", "1", "--tta", "true", "--progress_bar", "false"]
    process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "scripts" / "cross_validate.py"),
            str(recipe),
            "--out",
            str(out),
            *options,
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 400
    while not (out / "Area_2" / "config.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (out / "Area_2" / "config.json").exists(), "killed too early"
    assert not (out / "Area_2" / "evaluation").exists(), "killed too late"
    files = sorted(path.stat().st_mtime_ns for path in out.rglob("*"))
    time.sleep(1)
    assert sorted(path.stat().st_mtime_ns for path in out.rglob("*")) == files, (
        "the training outlived its parent"
    )
    cross(recipe, out, tta=True)
    for area in ("Area_1", "Area_2", "Area_5"):
        expected, found = (
            torch.load(run / area / "last.ckpt", weights_only=True)["state_dict"] for run in (done, out)
        )
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert torch.equal(read_report(done).matrix.counts, read_report(out).matrix.counts)
