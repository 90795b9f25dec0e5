"""Hold out families of rooms and sensors: ``python scripts/unseen_families.py --raw data/families``."""

import json
from pathlib import Path
from typing import Any

from studies.harness import run_module

from data_prep.buildings import GROUPS
from pcseg.cli import run
from pcseg.errors import require
from pcseg.files import write_json, write_text

INTRODUCTION = """# Families that were never seen

Accuracy and mIoU in percent on scans of one family of sensors or rooms: of a model that was trained on all families,
and of one with the same budget that never saw this family. The difference estimates the step to scans that are unlike
the generated ones. The families of a group are held out in folds, so that every model misses several of them at once.

"""


def unseen_families(
    *,
    raw: Path = Path("data/families"),
    out: Path = Path("runs/studies/families"),
    folds: int = 3,
    scans: int = 60,
    tests: int = 8,
    epochs: int = 30,
    options: list[str] | None = None,
    report: Path | None = None,
) -> str:
    """Train with and without each fold of families, score both on them, and return the table; finished runs are kept.

    Args:
        raw: Folder of the generated scans and the prepared data.
        out: Folder of the runs.
        folds: Number of models that share the families of sensors, and of those that share the families of rooms.
        scans: Number of scans of every training.
        tests: Number of scans of every family to score.
        epochs: Epochs of every training.
        options: Further options of training.
        report: File for the table.
    """
    require(folds > 1, "folds", folds, "Use at least 2.")
    raw, out = raw.resolve(), out.resolve()
    everything = _trained("all", (), raw=raw, out=out, scans=scans, epochs=epochs, options=options or [])
    rows: dict[str, dict[str, Any]] = {}
    for group in ("sensors", "rooms"):
        for fold in range(folds):
            names = GROUPS[group][fold::folds]
            without = _trained(
                f"{group}_{fold}", names, raw=raw, out=out, scans=scans, epochs=epochs, options=options or []
            )
            for name in names:
                only = ["--train", "0", "--test", str(tests), "--only", f"[{name}]"]
                test = _prepared(raw, f"only_{name}", only)
                rows[name] = {
                    key: _score(ckpt, test, out / f"{key}_{name}")
                    for key, ckpt in (("seen", everything), ("unseen", without))
                }
                print(f"{name}: {rows[name]}", flush=True)
    lines = ["| family | accuracy, seen | unseen | mIoU, seen | unseen |", "|---|---|---|---|---|"]
    lines += [_line(name, [rows[name]]) for group in ("sensors", "rooms") for name in GROUPS[group]]
    lines += [
        _line(f"**mean of {group}**", [rows[name] for name in GROUPS[group]])
        for group in ("sensors", "rooms")
    ]
    table = "\n".join(lines) + "\n"
    if report is not None:
        budget = f"{scans} scans, {epochs} epochs, {folds} folds, {tests} scans of every family to score.\n\n"
        write_text(report, INTRODUCTION + budget + table)
    return table


def _line(name: str, rows: list[dict[str, Any]]) -> str:
    """Return a row of the table, the mean over families."""
    cells = [
        f"{100 * sum(row[key][score] for row in rows) / len(rows):.1f}"
        for score in ("oa", "miou")
        for key in ("seen", "unseen")
    ]
    return f"| {name} | {' | '.join(cells)} |"


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
    name: str, hold_out: tuple[str, ...], *, raw: Path, out: Path, scans: int, epochs: int, options: list[str]
) -> Path:
    """Return the checkpoint of a model that was trained without some families."""
    folder = out / name
    data = _prepared(
        raw,
        f"without_{name}" if hold_out else "all",
        ["--train", str(scans), "--test", "0", "--hold_out", f"[{','.join((*hold_out, 'no_color'))}]"],
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
        run_module([*train, *options], log=out / f"{name}.log")
        write_text(folder / "finished", "")
    return folder / "best.ckpt"


def _score(ckpt: Path, data: Path, folder: Path) -> dict[str, float]:
    """Return accuracy and mIoU of a model on all scans of a prepared folder."""
    path = folder / "score.json"
    if not path.is_file():
        words = ["pcseg", "evaluate", "--ckpt", str(ckpt), "--out", str(folder)]
        words += ["--root", str(data), "--splits", "[test]", "--fragments", "1", "--boundary", "0"]
        run_module([*words, "--progress_bar", "false"], log=folder.with_suffix(".log"))
        scores = json.loads((folder / "results.json").read_text())["scores"]
        write_json(path, {"oa": scores["oa"], "miou": scores["miou"]["excluded"]})
    return json.loads(path.read_text())


if __name__ == "__main__":
    run(unseen_families)
