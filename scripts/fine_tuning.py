"""Fine-tune on few labeled rooms: ``python scripts/fine_tuning.py --data data/rooms --splits '[Area_1]'``."""

import json
from dataclasses import replace
from pathlib import Path

from studies.harness import run_module
from studies.shifts import shift_scores

from pcseg.checkpoint import load_checkpoint
from pcseg.cli import run
from pcseg.data.indoor import Classes
from pcseg.data.manifest import Manifest
from pcseg.errors import UserError
from pcseg.files import write_text
from pcseg.inference.class_sets import with_classes

INTRODUCTION = """# Fine-tuning with few labeled rooms

mIoU in percent of all points of the test rooms after training on a number of labeled rooms: from random weights, and
from the model that ships with pcseg (`--init_from indoor-small`), with the same configuration and number of steps.
Without labeled rooms, the model predicts these classes by `--classes`.

Made by `python scripts/fine_tuning.py`.

"""


def fine_tuning(
    *,
    data: Path,
    splits: list[str],
    test_splits: list[str],
    ckpt: Path = Path("indoor-small"),
    classes: Classes | None = None,
    out: Path = Path("runs/studies/fine_tuning"),
    numbers: list[int] | None = None,
    seeds: int = 1,
    steps: int = 300,
    options: list[str] | None = None,
    report: Path | None = None,
) -> str:
    """Train on a few rooms, score on the test rooms, and return the table; finished runs are kept.

    Args:
        data: Prepared folder.
        splits: Splits to take labeled rooms from; one further room of them is validated on.
        test_splits: Splits to score on.
        ckpt: Model to start from.
        classes: Label set of the data, for the row without labeled rooms.
        out: Folder of the runs.
        numbers: Numbers of labeled rooms.
        seeds: Number of repetitions, each with other rooms.
        steps: Steps of every training.
        options: Further options of training.
        report: File for the table.
    """
    numbers = numbers or [1, 3, 10]
    names, tests = (
        [f"{entry.split}/{entry.name}" for entry in Manifest.read(data).scenes if entry.split in some]
        for some in (splits, test_splits)
    )
    if len(names) <= max(numbers):
        raise UserError(f"--splits: {len(names)} rooms, but {max(numbers) + 1} are needed. Name more splits.")
    lines = ["| labeled rooms | from random weights | fine-tuned |", "|---|---|---|"]
    if classes is not None:
        model = with_classes(load_checkpoint(ckpt), classes)
        rows = shift_scores(model, root=data, splits=test_splits, out=out / "shifts", names=["none"])
        lines.append(f"| 0 |  | {100 * rows['none']['miou']:.1f} |")
    for number in numbers:
        scores: dict[bool, list[float]] = {False: [], True: []}
        for seed in range(seeds):
            some = [names[(seed * (number + 1) + k) % len(names)] for k in range(number + 1)]
            for tuned, found in scores.items():
                folder = out / f"{'tuned' if tuned else 'scratch'}_{number}_{seed}"
                rooms = _subset(data, [*some, *tests], out / "data" / f"{number}_{seed}")
                words = ["--data.root", str(rooms.resolve()), "--data.test_splits", json.dumps(test_splits)]
                words += ["--data.val_rooms", json.dumps(some[number:])]
                words += (
                    ["--init_from", str(ckpt)]
                    if tuned
                    else ["--lr_scales", "null", "--optimizer.lr", "0.006"]
                )
                loop = max(1, round(steps * 2 / number / 20))
                words += ["--data.loop", str(loop), "--seed", str(seed), *(options or [])]
                found.append(_score(folder, words))
        row = [" ± ".join(f"{value:.1f}" for value in _mean(found)) for found in scores.values()]
        lines.append(f"| {number} | {row[0]} | {row[1]} |")
        print(lines[-1], flush=True)
    table = "\n".join(lines) + "\n"
    if report is not None:
        write_text(report, f"{INTRODUCTION}Seeds: {seeds}; {steps} steps of two crops.\n\n{table}")
    return table


def _mean(values: list[float]) -> list[float]:
    """Return the mean in percent, and the largest distance from it if there are several."""
    mean = sum(values) / len(values)
    return [100 * mean, *([100 * max(abs(value - mean) for value in values)] if len(values) > 1 else [])]


def _subset(data: Path, names: list[str], folder: Path) -> Path:
    """Return a prepared folder with some scenes of another one, as links."""
    manifest = Manifest.read(data)
    scenes = tuple(entry for entry in manifest.scenes if f"{entry.split}/{entry.name}" in names)
    for entry in scenes:
        link = folder / entry.path
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to((data / entry.path).resolve())
    replace(manifest, scenes=scenes).write(folder)
    return folder


def _score(folder: Path, words: list[str]) -> float:
    """Return the mIoU of a run, which is trained and scored if it is not finished."""
    path = folder / "evaluation" / "results.json"
    if not path.is_file():
        train = ["pcseg", "train", "--config", "indoor/finetune"]
        train += [
            "--out",
            str(folder.resolve()),
            "--resume",
            "true",
            "--trainer.progress_bar",
            "false",
            *words,
        ]
        score = ["pcseg", "evaluate", "--ckpt", str((folder / "best.ckpt").resolve()), "--fragments", "1"]
        score += ["--out", str(path.parent.resolve()), "--boundary", "0", "--progress_bar", "false"]
        for command in (train, score):
            run_module(command, log=folder.with_suffix(".log"))
    return json.loads(path.read_text())["scores"]["miou"]["excluded"]


if __name__ == "__main__":
    run(fine_tuning)
