"""The command ``pcseg cross-validate`` on small areas: the sum, refused folds, and resuming after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.fakes import write_fake_building

from pcseg.cli import run, training_config
from pcseg.errors import UserError
from pcseg.evaluation import cross_validation as crossval
from pcseg.evaluation.cross_validation import cross_validate, sum_folds
from pcseg.evaluation.evaluate import evaluate
from pcseg.evaluation.report import Report
from pcseg.training.train import train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:Experiment logs directory",  # from lightning, for a resumed run
        "ignore:.*max_epochs.*reached",
    ),
]

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
    config = training_config(["--config", str(recipe)])
    return cross_validate(
        config=config, out=out, device="cpu", fragments=1, progress_bar=False, tta=tta, folds=folds
    )


@pytest.fixture(scope="module")
def folds(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, list[Report]]:
    """Return the folder of a finished cross-validation, and the reports of its folds and of their sum."""
    out = tmp_path_factory.mktemp("done") / "sixfold"
    reports: list[Report] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crossval, "run_training", in_this_process)
        patch.setattr(
            crossval, "evaluate", lambda **options: reports.append(evaluate(**options)) or reports[-1]
        )
        total = cross(recipe, out, tta=True)
    return {out: [*reports, total]}


@pytest.fixture(scope="module")
def done(folds: dict[Path, list[Report]]) -> Path:
    return next(iter(folds))


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def test_the_sum_of_all_folds(folds: dict[Path, list[Report]], done: Path) -> None:
    *each, report = folds[done]
    assert len(each) == 3
    assert torch.equal(report.matrix.counts, sum(fold.matrix.counts for fold in each))
    assert report.matrix.labeled.sum() == 5 * 400
    assert report.single_pass is not None
    assert torch.equal(report.single_pass.counts, sum(f.single_pass.counts for f in each))  # type: ignore[union-attr]
    assert report.boundary is not None
    assert torch.equal(report.boundary, sum(fold.boundary for fold in each))
    assert report.rooms is not None
    assert len(report.rooms) == 5
    assert results(done)["confusion"] == report.matrix.counts.tolist()
    record = results(done)["provenance"]
    assert (record["splits"], record["scenes"], record["points"]) == (["Area_1", "Area_2", "Area_5"], 5, 2000)
    assert len(set(record["checkpoint"])) == 3
    assert "Area_1, Area_2, Area_5" in (done / "results.md").read_text()
    for area in ("Area_1", "Area_2", "Area_5"):
        fold = results(done / area / "evaluation")["provenance"]
        assert fold["splits"] == [area]
        assert fold["kept_from_training"] is True


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
def test_folds_that_differ_are_not_added(
    folds: dict[Path, list[Report]], done: Path, entries: dict, message: str
) -> None:
    first, second, _, _ = folds[done]
    sum_folds([first, second], source="folds")
    second = replace(second, provenance=second.provenance | entries)
    if entries == {"kept_from_training": False}:
        first = replace(first, provenance=first.provenance | entries)
    with pytest.raises(UserError, match=message):
        sum_folds([first, second], source="folds")


@pytest.mark.parametrize("failure", ["training", "folder"])
def test_a_failed_fold_does_not_stop_the_others(recipe: Path, tmp_path: Path, failure: str) -> None:
    fold, message = tmp_path / "out" / "Area_1", r"Area_1 \(training ended with status 1"
    fold.parent.mkdir()
    if failure == "training":
        fold.mkdir()
        (fold / "last.ckpt").write_bytes(b"no checkpoint")
    else:
        fold.write_text("a file is in the way")
        message = r"Area_1 \(.*fold\.json: cannot be written"
    with pytest.raises(UserError, match=message):
        cross(recipe, tmp_path / "out", folds=["Area_1", "Area_2"])
    assert (tmp_path / "out" / "Area_2" / "evaluation" / "results.json").exists()
    assert not (tmp_path / "out" / "results.json").exists()
    (fold / "last.ckpt" if failure == "training" else fold).unlink()
    cross(recipe, tmp_path / "out", folds=["Area_1", "Area_2"])
    assert (tmp_path / "out" / "results.json").exists()


def test_invalid_folds_are_errors(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no area or split 'Area_9'\\. Choose from Area_1, Area_2, Area_5"):
        cross(recipe, tmp_path, folds=["Area_1", "Area_9"])
    with pytest.raises(UserError, match="two areas or more"):
        cross(recipe, tmp_path, folds=["Area_1"])
    assert list(tmp_path.iterdir()) == []


def test_a_killed_cross_validation_resumes_exactly(done: Path, recipe: Path, tmp_path: Path) -> None:
    """Kill it inside the second fold; its training ends too, and the resumed run equals an uninterrupted one."""
    out = tmp_path / "out"
    options = ["--device", "cpu", "--fragments", "1", "--tta", "true", "--progress_bar", "false"]
    process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "scripts" / "cross_validate.py"),
            "--config",
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
    assert results(done)["confusion"] == results(out)["confusion"]
