"""Cross-validation over the areas of a data set: train, test and sum the confusion matrices, unattended."""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pcseg.cli import as_dict, make_parser
from pcseg.data.manifest import Manifest
from pcseg.errors import UserError
from pcseg.evaluation.points import evaluate
from pcseg.evaluation.provenance import OF_A_FOLD, fold_differences
from pcseg.evaluation.report import Report, read_report
from pcseg.files import write_text
from pcseg.inference.points import Fragments
from pcseg.inference.tta import Protocol
from pcseg.training.train import train

LAUNCHER = """
import ctypes, runpy, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: a training never outlives the cross-validation
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_script(script: Path, args: Sequence[str]) -> int:
    """Run a script in a process of its own, which ends with this one, and return its exit status."""
    return subprocess.run([sys.executable, "-c", LAUNCHER, str(script), *args], check=False).returncode


def cross_validate(
    recipe: Path,
    *,
    out: Path,
    train_script: Path,
    overlay: list[Path] | Path | None = None,
    options: str = "",
    folds: list[str] | None = None,
    protocol: Protocol | None = None,
    tta: bool = False,
    fragments: Fragments = "all",
    points_per_pass: int = 400_000,
    margin: float = 1.0,
    device: str = "auto",
    progress_bar: bool = True,
) -> Report:
    """Train once for each area, test on it, and report the sum of the confusion matrices.

    The folds go to ``out/<area>`` and the sum to ``out``. What is done is kept: a run that was stopped goes on
    where it was, inside a training too. A fold that fails does not stop the others.

    Args:
        recipe: Configuration of training.
        out: Folder of all runs and of the result.
        train_script: Trains one fold; takes the arguments of :func:`pcseg.training.train.train`.
        overlay: Further configurations, each of which overrides the ones before.
        options: Further options of scripts/train.py, as on its command line.
        folds: Areas to test on in turn; all areas or splits of the data without a value.
        protocol: As for evaluation.
        tta: As for evaluation.
        fragments: As for evaluation.
        points_per_pass: As for evaluation.
        margin: As for evaluation.
        device: Where the tests run.
        progress_bar: Show progress and time left.

    Raises:
        UserError: Training or test of at least one fold failed, or the folds do not follow one protocol.
    """
    overlays = [overlay] if isinstance(overlay, Path) else overlay or []
    args = [arg for file in (recipe, *overlays) for arg in ("--config", str(file))] + shlex.split(options)
    root = data_root(args)
    manifest = Manifest.read(root)
    folds = folds or list(manifest.splits)
    unknown = [fold for fold in folds if fold not in manifest.splits]
    if unknown:
        raise UserError(f"{root}: no area or split {unknown[0]!r}; there are {', '.join(manifest.splits)}")
    if len(set(folds)) < 2:
        raise UserError(f"{root}: cross-validation needs two areas or more, not {', '.join(folds)}")
    failures, places = [], []
    for fold in folds:
        place = out / fold
        fold_args = [*args, "--data.test_splits", f"[{fold}]", "--out", str(place), "--resume", "true"]
        if not progress_bar:
            fold_args += ["--trainer.progress_bar", "false"]
        status = train_once(fold_args, place, train_script)
        if status in (130, -2):
            raise KeyboardInterrupt("run again to go on")
        if status != 0:
            failures.append(f"{fold} (training ended with status {status}, see above)")
            continue
        evaluate(
            ckpt=place / "best.ckpt", out=place / "evaluation", root=root, splits=[fold], protocol=protocol,
            tta=tta, fragments=fragments, points_per_pass=points_per_pass, margin=margin, device=device,
            progress_bar=progress_bar,
        )  # fmt: skip
        places.append(place / "evaluation")
    if failures:
        raise UserError(f"{out}: failed: {'; '.join(failures)}; run again to go on with what is done")
    report = sum_folds(places)
    report.write(out)
    return report


def train_once(args: Sequence[str], place: Path, script: Path) -> int:
    """Train, or go on, unless a training of the same configuration is finished; return the exit status."""
    parser = make_parser(train)
    config = json.dumps(as_dict(parser, parser.parse_args(list(args))), sort_keys=True)
    finished = place / "finished.json"
    if finished.is_file() and finished.read_text() == config and (place / "best.ckpt").is_file():
        return 0
    status = run_script(script, args)
    if status == 0:
        write_text(finished, config)
    return status


def data_root(args: Sequence[str]) -> Path:
    """The prepared folder that training arguments name."""
    config = make_parser(train).parse_args([*args, "--out", "."])
    data: Any = config.data
    root = data.init_args.root if "init_args" in data else data.get("root")
    if root is None:
        raise UserError("the recipe names no data.root; add --options '--data.root FOLDER'")
    return Path(root)


def sum_folds(places: Sequence[Path]) -> Report:
    """The report of all folds together: confusion matrices are added, then scored.

    Args:
        places: Folder of the evaluation of each fold.

    Raises:
        UserError: Stamps differ in more than the fold, folds overlap, or a test area was trained on.
    """
    reports = [read_report(place) for place in places]
    stamps = [report.protocol for report in reports]
    differences = fold_differences(stamps)
    if differences:
        raise UserError(
            f"{places[0].parent} and others follow different protocols: {'; '.join(differences)}; their sum would "
            "mean nothing, evaluate or train them alike"
        )
    splits = [split for stamp in stamps for split in stamp["splits"]]
    twice = sorted({split for split in splits if splits.count(split) > 1})
    if twice:
        raise UserError(f"{places[0].parent} and others: {', '.join(twice)} is tested in more than one fold")
    for place, stamp in zip(places, stamps):
        if stamp["kept_from_training"] is not True:
            raise UserError(
                f"{place}: its test area may have been seen in training; train the fold without it"
            )
    total = reports[0]
    for report in reports[1:]:
        total = total + report
    folds = [{key: stamp.get(key) for key in OF_A_FOLD} for stamp in stamps]
    protocol = {
        **stamps[0],
        "splits": splits,
        "scenes": sum(stamp["scenes"] for stamp in stamps),
        "points": sum(stamp["points"] for stamp in stamps),
        "checkpoint": [stamp["checkpoint"] for stamp in stamps],
        "predictions": [stamp["predictions"] for stamp in stamps],
        "initial_weights": [stamp.get("initial_weights") for stamp in stamps],
        "cross_validation": json.dumps(folds),
    }
    return replace(total, protocol=protocol)
