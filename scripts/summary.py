"""Print the result of a run and the paths of its files: ``python scripts/summary.py RUN``."""

import json
from pathlib import Path

from pcseg.cli import run
from pcseg.errors import UserError


def summary(folder: Path) -> list[str]:
    """Print the scores of an evaluated run beside its baselines, and the paths of results and pictures.

    Args:
        folder: A run that contains ``evaluation/results.json``.
    """
    path = folder / "evaluation" / "results.json"
    if not path.is_file():
        raise UserError(f"{path}: no results. Run pcseg evaluate with --out {path.parent} first.")
    results = json.loads(path.read_text())
    record = results["provenance"]
    splits = ", ".join(record["splits"])
    lines = [f"{record['scenes']} rooms of {splits} ({record['points']:,} points; {record['release']}):"]
    rows = {"this model": results["scores"], **results["baselines"]}
    width = max(map(len, rows))
    for name, scores in rows.items():
        miou, accuracy = 100 * scores["miou"]["excluded"], 100 * scores["oa"]
        lines.append(f"  {name:<{width}}  mIoU {miou:5.1f} %  overall accuracy {accuracy:5.1f} %")
    ranked = sorted((c for c in results["classes"] if c["iou"] is not None), key=lambda c: c["iou"])
    weakest = ", ".join(f"{c['name']} {100 * c['iou']:.0f} %" for c in ranked[:3])
    lines += [f"Classes with the lowest IoU: {weakest}", f"Table of all classes: {path.with_suffix('.md')}"]
    lines += [f"Picture: {picture}" for picture in sorted((folder / "pictures").glob("*.png"))]
    return [*lines, f"Checkpoint: {folder / 'best.ckpt'}", f"Training curves: tensorboard --logdir {folder}"]


if __name__ == "__main__":
    run(summary)
