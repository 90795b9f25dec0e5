"""Cross-validate over the areas of a data set: the command ``pcseg cross-validate``.

Run as a module, this file trains one fold.
"""

import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from pcseg.cli import main
from pcseg.data.manifest import Manifest
from pcseg.errors import UserError
from pcseg.evaluation.evaluate import evaluate
from pcseg.evaluation.provenance import fold_differences
from pcseg.evaluation.report import Report
from pcseg.files import output_folder, write_text
from pcseg.inference.points import Fragments
from pcseg.values import NameList, checked


@checked("--")
def cross_validate(
    *,
    config: dict[str, Any],
    out: Path,
    folds: NameList | None = None,
    tta: bool = False,
    fragments: Fragments = "all",
    device: str = "auto",
    progress_bar: bool = True,
) -> Report:
    """Train once per area, test on this area, and report the sum of the confusion matrices.

    Folds are written to ``OUT/<area>`` and the sum to ``OUT``. Run the command again to resume an interrupted
    cross-validation; finished folds are kept, and an interrupted training resumes. A fold that fails does not stop
    the others.

    Args:
        config: Resolved configuration of training, made of ``--config`` and the options of ``pcseg train``.
        out: Folder of all runs and of the result.
        folds: Areas to test on in turn; default: all areas or splits of the data.
        tta: As for ``pcseg evaluate``.
        fragments: As for ``pcseg evaluate``.
        device: Device of the evaluations.
        progress_bar: Show progress and remaining time.

    Raises:
        UserError: Training or evaluation of a fold failed, or the folds were not trained and scored alike.
    """
    root = Path(config["data"]["init_args"]["root"])
    folds = choose_folds(root, folds)
    failures, reports = [], []
    with output_folder(out):
        for fold in folds:
            run = out / fold
            try:
                status = train_fold(config, fold, run, progress_bar=progress_bar)
                if status in (130, -2):
                    raise KeyboardInterrupt("run the command again to resume")
                if status != 0:
                    raise UserError(f"training ended with status {status}, see above")
                report = evaluate(
                    ckpt=run / "best.ckpt", out=run / "evaluation", root=root, splits=[fold], tta=tta,
                    fragments=fragments, device=device, progress_bar=progress_bar,
                )  # fmt: skip
                reports.append(report)
            except UserError as error:
                failures.append(f"{fold} ({error})")
        if failures:
            raise UserError(
                f"{out}: failed: {'; '.join(failures)}. Fix the cause and run the command again; finished folds are "
                "kept."
            )
        total = sum_folds(reports, source=str(out))
        total.write(out)
    return total


def choose_folds(root: Path, folds: Sequence[str] | None) -> list[str]:
    """Return ``folds``, or all splits of the data; raise :class:`UserError` unless there are two of them."""
    splits = Manifest.read(root).splits
    chosen = list(folds or splits)
    unknown = [fold for fold in chosen if fold not in splits]
    if unknown:
        raise UserError(f"{root}: no area or split {unknown[0]!r}. Choose from {', '.join(splits)}.")
    if len(set(chosen)) < 2:
        raise UserError(f"{root}: cross-validation needs two areas or more, but got {', '.join(chosen)}.")
    return chosen


def train_fold(config: dict[str, Any], fold: str, run: Path, *, progress_bar: bool) -> int:
    """Train or resume, unless a training with the same configuration is finished; return the exit status."""
    config = deepcopy(config) | {"out": str(run), "resume": True}
    config["data"]["init_args"]["test_splits"] = [fold]
    config["trainer"]["progress_bar"] &= progress_bar
    text = json.dumps(config, indent=1, sort_keys=True)
    started, finished = run / "fold.json", run / "finished.json"
    if finished.is_file() and finished.read_text() == text and (run / "best.ckpt").is_file():
        return 0
    write_text(started, text)
    status = run_training(["--config", str(started)])
    if status == 0:
        started.replace(finished)
    return status


def run_training(args: Sequence[str]) -> int:
    """Run ``pcseg train`` in a process that ends with this one, and return its exit status."""
    return subprocess.run([sys.executable, "-m", __name__, *args], check=False).returncode


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends, even if the parent is killed; Linux only."""
    if sys.platform == "linux":
        set_parent_death_signal, sigkill = 1, 9
        ctypes.CDLL(None).prctl(set_parent_death_signal, sigkill)


def sum_folds(reports: Sequence[Report], *, source: str) -> Report:
    """Return the report of all folds together: confusion matrices are added, then scored.

    Raises:
        UserError: Provenance records differ in more than the fold, folds overlap, or training saw a test area.
            ``source`` names the folds in the message.
    """
    records = [report.provenance for report in reports]
    differences = fold_differences(records)
    if differences:
        raise UserError(
            f"{source}: folds are not trained or scored alike, so they cannot be added: {'; '.join(differences)}. Use "
            "the same settings for all folds."
        )
    splits = [split for record in records for split in record["splits"]]
    twice = sorted({split for split in splits if splits.count(split) > 1})
    if twice:
        raise UserError(f"{source}: {', '.join(twice)} is tested in more than one fold. Test each area once.")
    for record in records:
        if record["kept_from_training"] is not True:
            raise UserError(
                f"{source}: training may have seen the test area {', '.join(record['splits'])}. Train the fold without "
                "it, from weights that did not see it."
            )
    folds = [
        f"{'+'.join(record['splits'])}: {record['scenes']} scenes with {record['points']} points"
        for record in records
    ]
    lists = ("checkpoint", "predictions", "initial_weights")
    provenance = {
        **records[0],
        "splits": splits,
        "scenes": sum(record["scenes"] for record in records),
        "points": sum(record["points"] for record in records),
        **{key: [record.get(key) for record in records] for key in lists},
        "folds": folds,
    }
    return replace(reduce(add, reports), provenance=provenance)


if __name__ == "__main__":
    end_with_parent()
    main(["train", *sys.argv[1:]])
