"""Leave one family out: ``python scripts/unseen_families.py --raw data/families --out runs/studies/families``."""

import json
from pathlib import Path
from typing import Any

from studies.harness import run_module

from data_prep.buildings import GROUPS
from pcseg.cli import run
from pcseg.errors import UserError
from pcseg.files import write_json, write_text

FAMILIES = (*GROUPS["sensors"], *GROUPS["rooms"])

INTRODUCTION = """# Families that were never seen

Accuracy and mIoU in percent on scans of one family of sensors or rooms: of a model that was trained on all families,
and of one with the same budget that never saw this family. The difference estimates the step to scans that are unlike
the generated ones.

"""


def unseen_families(
    *,
    raw: Path = Path("data/families"),
    out: Path = Path("runs/studies/families"),
    names: list[str] | None = None,
    scans: int = 60,
    tests: int = 8,
    epochs: int = 30,
    options: list[str] | None = None,
    report: Path | None = None,
) -> str:
    """Train with and without each family, score both on it, and return the table; finished runs are kept.

    Args:
        raw: Folder of the generated scans and the prepared data.
        out: Folder of the runs.
        names: Families; default: all sensors and rooms.
        scans: Number of scans of every training.
        tests: Number of scans of every family to score.
        epochs: Epochs of every training.
        options: Further options of training.
        report: File for the table.
    """
    raw, out = raw.resolve(), out.resolve()
    names = list(FAMILIES) if names is None else names
    for name in names:
        if name not in FAMILIES:
            raise UserError(f"--names: unknown family {name!r}. Choose from {', '.join(FAMILIES)}.")
    everything = _trained("all", (), raw=raw, out=out, scans=scans, epochs=epochs, options=options or [])
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        test = _prepared(raw, f"only_{name}", ["--train", "0", "--test", str(tests), "--only", f"[{name}]"])
        without = _trained(name, (name,), raw=raw, out=out, scans=scans, epochs=epochs, options=options or [])
        rows[name] = {
            key: _score(ckpt, test, out / f"{key}_{name}")
            for key, ckpt in (("seen", everything), ("unseen", without))
        }
        print(f"{name}: {rows[name]}", flush=True)
    lines = ["| family | accuracy, seen | unseen | mIoU, seen | unseen |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | "
        + " | ".join(f"{100 * row[key][score]:.1f}" for score in ("oa", "miou") for key in ("seen", "unseen"))
        + " |"
        for name, row in rows.items()
    ]
    table = "\n".join(lines) + "\n"
    if report is not None:
        budget = f"{scans} scans, {epochs} epochs, {tests} scans of every family to score.\n\n"
        write_text(report, INTRODUCTION + budget + table)
    return table


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
