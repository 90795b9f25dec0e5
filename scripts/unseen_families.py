"""Hold out families of rooms and sensors: ``python scripts/unseen_families.py --raw data/families``."""

import json
from pathlib import Path

import numpy as np
from studies.harness import run_module

from data_prep.buildings import GROUPS
from pcseg.cli import run
from pcseg.data.indoor import COARSE, from_indoor
from pcseg.errors import require
from pcseg.files import write_text
from pcseg.metrics.confusion import ConfusionMatrix

INTRODUCTION = """# Families that were never seen

Scores in percent on scans of one family of sensors or rooms, of a model that was trained on it and of one that never
saw it. The families are divided into folds, and one model per fold is trained without its sensors and rooms:
*unseen* is the score of this model, *seen* the mean of the others. All models have seen about the same
number of families, so that the difference estimates the step to scans that are unlike the generated ones.

Made by `python scripts/unseen_families.py`.

"""


def unseen_families(
    *,
    raw: Path = Path("data/families"),
    out: Path = Path("runs/studies/families"),
    folds: int = 2,
    scans: int = 60,
    tests: int = 8,
    epochs: int = 40,
    options: list[str] | None = None,
    report: Path | None = None,
) -> str:
    """Train without each fold of families, score all models on all families, and return the table.

    Finished runs are kept.

    Args:
        raw: Folder of the generated scans and the prepared data.
        out: Folder of the runs.
        folds: Number of models.
        scans: Number of scans of every training.
        tests: Number of scans of every family to score.
        epochs: Epochs of every training.
        options: Further options of training.
        report: File for the table.
    """
    require(1 < folds <= len(GROUPS["sensors"]), "folds", folds, f"Use 2 to {len(GROUPS['sensors'])}.")
    raw, out = raw.resolve(), out.resolve()
    models = [
        _trained(fold, folds, raw=raw, out=out, scans=scans, epochs=epochs, options=options or [])
        for fold in range(folds)
    ]
    names = ("accuracy, 44 classes", "accuracy, coarse", "mIoU, coarse")
    lines = [f"| family | {' | '.join(f'{name}: seen | unseen' for name in names)} |", "|---" * 7 + "|"]
    for group in ("sensors", "rooms"):
        rows = []
        for number, name in enumerate(GROUPS[group]):
            test = _prepared(
                raw, f"only_{name}", ["--train", "0", "--test", str(tests), "--only", f"[{name}]"]
            )
            scores = np.array([_score(ckpt, test, out / f"{name}_{k}") for k, ckpt in enumerate(models)])
            own = number % folds
            rows.append(np.stack([np.delete(scores, own, axis=0).mean(0), scores[own]], axis=1))
            lines.append(_line(name, rows[-1]))
            print(lines[-1], flush=True)
        means = [np.mean(rows[fold::folds], axis=0) for fold in range(folds)]  # models count equally
        lines.append(_line(f"**mean of {group}**", np.mean(means, axis=0)))
    table = "\n".join(lines) + "\n"
    if report is not None:
        budget = f"{folds} folds, {scans} scans, {epochs} epochs, {tests} scans of every family to score.\n\n"
        write_text(report, INTRODUCTION + budget + table)
    return table


def _line(name: str, scores: np.ndarray) -> str:
    """Return a row of the table: scores ``(3, 2)``, seen and unseen."""
    return f"| {name} | {' | '.join(f'{100 * score:.1f}' for score in scores.ravel())} |"


def _prepared(raw: Path, name: str, options: list[str]) -> Path:
    """Generate and prepare scans and return the prepared folder; what exists is kept."""
    scans = raw / "scans" / name
    common = ["--val", "0", "--points", "250000", "--spacing", "0.02", *options]
    run_module(["data_prep.buildings", str(scans), *common], log=raw / f"{name}.log")
    lines = (scans / "indoor.yaml").read_text().splitlines()
    absent = tuple(
        f"  {split}: [" for split in ("train", "val", "test") if not list(scans.glob(f"{split}/*.ply"))
    )
    write_text(
        scans / "present.yaml", "\n".join(line for line in lines if not line.startswith(absent)) + "\n"
    )
    words = ["pcseg", "prepare", "folder", str(scans / "present.yaml"), str(raw / "prepared" / name)]
    run_module(words, log=raw / f"{name}.log")
    return raw / "prepared" / name


def _trained(
    fold: int, folds: int, *, raw: Path, out: Path, scans: int, epochs: int, options: list[str]
) -> Path:
    """Return the checkpoint of a model that was trained without the families of a fold."""
    folder = out / f"without_{fold}"
    absent = [*GROUPS["sensors"][fold::folds], *GROUPS["rooms"][fold::folds], "no_color"]
    data = _prepared(
        raw, folder.name, ["--train", str(scans), "--test", "0", "--hold_out", f"[{','.join(absent)}]"]
    )
    train = ["pcseg", "train", "--config", "indoor/base", "--data.root", str(data)]
    train += ["--data.val_splits", "null", "--data.test_splits", "[]", "--data.val_fraction", "0.1"]
    train += ["--out", str(folder), "--resume", "true", "--trainer.max_epochs", str(epochs)]
    train += [
        "--trainer.check_val_every_n_epoch",
        str(max(1, epochs // 6)),
        "--trainer.progress_bar",
        "false",
    ]
    if not (folder / "finished").is_file():
        run_module([*train, *options], log=folder.with_suffix(".log"))
        write_text(folder / "finished", "")
    return folder / "best.ckpt"


def _score(ckpt: Path, data: Path, folder: Path) -> tuple[float, float, float]:
    """Return the accuracy of a model on all scans of a prepared folder, and accuracy and mIoU of coarse classes."""
    path = folder / "results.json"
    if not path.is_file():
        words = ["pcseg", "evaluate", "--ckpt", str(ckpt), "--out", str(folder)]
        words += ["--root", str(data), "--splits", "[test]", "--fragments", "1", "--boundary", "0"]
        run_module([*words, "--progress_bar", "false"], log=folder.with_suffix(".log"))
    results = json.loads(path.read_text())
    label, coarse = from_indoor("coarse")[:-1], ConfusionMatrix(COARSE.num_classes)
    rows, columns = label[:, None], np.append(label, COARSE.num_classes)  # the last column counts no class
    np.add.at(coarse.counts.numpy(), (rows, columns), np.array(results["confusion"]))
    return results["scores"]["oa"], coarse.overall_accuracy(), coarse.mean_iou()


if __name__ == "__main__":
    run(unseen_families)
