"""Six-fold as a whole, on two or three small areas: the sum, what it refuses, and what a kill leaves."""

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
    "ignore:Experiment logs directory",  # lightning, of a run that goes on
    "ignore:.*max_epochs.*reached",
)

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "train.py"
RECIPE = """
data:
  class_path: pcseg.data.room_data.RoomData
  init_args: {root: ROOT, grid_size: 0.3, batch_size: 2}
backbone: {class_path: fakes.ConvBackbone}
head: {class_path: pcseg.heads.LinearHead}
optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.01}}
trainer: {max_epochs: 3, progress_bar: false, accelerator: cpu}
out: unused
"""


def in_this_process(script: Path, args: list[str]) -> int:
    assert script == SCRIPT
    try:
        run(train, args=list(args))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossval, "run_script", in_this_process)


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
        recipe, out=out, train_script=SCRIPT, device="cpu", fragments=1, progress_bar=False, tta=tta, folds=folds
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished cross-validation."""
    out = tmp_path_factory.mktemp("done") / "sixfold"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crossval, "run_script", in_this_process)
        cross(recipe, out, tta=True)
    return out


def test_the_sum_of_all_folds(done: Path) -> None:
    report = read_report(done)
    folds = [read_report(done / area / "evaluation") for area in ("Area_1", "Area_2", "Area_5")]
    assert torch.equal(report.matrix.counts, sum(fold.matrix.counts for fold in folds))
    assert report.matrix.labeled.sum() == 5 * 400
    assert report.first is not None
    assert torch.equal(report.first.counts, sum(f.first.counts for f in folds))  # type: ignore[union-attr]
    assert report.boundary is not None
    assert torch.equal(report.boundary.union, sum(f.boundary.union for f in folds))  # type: ignore[union-attr]
    assert report.rooms is not None
    assert len(report.rooms.names) == 5
    stamp = report.protocol
    assert (stamp["splits"], stamp["scenes"], stamp["points"]) == (["Area_1", "Area_2", "Area_5"], 5, 2000)
    assert len(set(stamp["checkpoint"])) == 3
    assert "Area_1, Area_2, Area_5" in (done / "results.md").read_text()
    for area, fold in zip(("Area_1", "Area_2", "Area_5"), folds):
        assert fold.protocol["splits"] == [area]
        assert fold.protocol["kept_from_training"] is True


def test_run_again_changes_nothing(done: Path, recipe: Path) -> None:
    files = [
        done / "results.json",
        done / "Area_1" / "logs" / "metrics.csv",
        done / "Area_1" / "best.ckpt",
        done / "Area_5" / "last.ckpt",
    ]
    before = [path.read_bytes() for path in files]
    cross(recipe, done, tta=True)
    assert [path.read_bytes() for path in files] == before


def change(place: Path, **entries: object) -> None:
    path = place / "results.json"
    fields = json.loads(path.read_text())
    fields["protocol"] |= entries
    path.write_text(json.dumps(fields))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"grid_size": 0.04}, r"different protocols: grid_size \(0\.3 against 0\.04\)"),
        ({"votes": ["identity"], "passes": 1}, "votes .*passes"),
        ({"recipe": "another"}, "recipe"),
        ({"seed": 7}, "seed"),
        ({"splits": ["Area_1"]}, "Area_1 is tested in more than one fold"),
        ({"kept_from_training": False}, "may have been seen in training"),
        ({"kept_from_training": None}, "kept_from_training"),
    ],
)
def test_folds_of_different_protocols_are_not_summed(
    done: Path, tmp_path: Path, entries: dict, message: str
) -> None:
    places = []
    for area in ("Area_1", "Area_2"):
        place = tmp_path / area
        place.mkdir()
        for name in ("results.json", "rooms.npz"):
            (place / name).write_bytes((done / area / "evaluation" / name).read_bytes())
        places.append(place)
    sum_folds(places)
    change(places[1], **entries)
    if entries == {"kept_from_training": False}:
        change(places[0], **entries)
    with pytest.raises(UserError, match=message):
        sum_folds(places)


def test_a_fold_that_fails_does_not_stop_the_others(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(script: Path, args: list[str]) -> int:
        return 1 if "[Area_1]" in args else in_this_process(script, args)

    monkeypatch.setattr(crossval, "run_script", fails)
    with pytest.raises(UserError, match=r"Area_1 \(training ended with status 1"):
        cross(recipe, tmp_path / "out", folds=["Area_1", "Area_2"])
    assert (tmp_path / "out" / "Area_2" / "evaluation" / "results.json").exists()
    assert not (tmp_path / "out" / "results.json").exists()
    monkeypatch.setattr(crossval, "run_script", in_this_process)
    cross(recipe, tmp_path / "out", folds=["Area_1", "Area_2"])
    assert (tmp_path / "out" / "results.json").exists()


def test_what_cannot_be_a_cross_validation(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no area or split 'Area_9'; there are Area_1, Area_2, Area_5"):
        cross(recipe, tmp_path, folds=["Area_1", "Area_9"])
    with pytest.raises(UserError, match="two areas or more"):
        cross(recipe, tmp_path, folds=["Area_1"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_killed_one_ends_with_the_same_weights_and_scores(done: Path, recipe: Path, tmp_path: Path) -> None:
    """Killed inside the second fold; its training dies with it; run again, everything is as of one go."""
    out = tmp_path / "out"
    options = ["--device", "cpu", "--fragments", "1", "--tta", "true", "--progress_bar", "false"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "sixfold.py"), str(recipe), "--out", str(out), *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (out / "Area_2" / "config.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "Area_2" / "evaluation").exists(), "killed too late"
    files = sorted(path.stat().st_mtime_ns for path in out.rglob("*"))
    time.sleep(1)
    assert sorted(path.stat().st_mtime_ns for path in out.rglob("*")) == files, "a training outlived it"
    cross(recipe, out, tta=True)
    for area in ("Area_1", "Area_2", "Area_5"):
        expected, found = (
            torch.load(run / area / "last.ckpt", weights_only=True)["state_dict"] for run in (done, out)
        )
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert torch.equal(read_report(done).matrix.counts, read_report(out).matrix.counts)
