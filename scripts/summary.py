"""Say in plain language what a run achieved and where its files are: ``python scripts/summary.py RUN``."""

import json
from pathlib import Path

from pcseg.cli import run
from pcseg.errors import UserError


def summary(folder: Path) -> None:
    """Print the scores of an evaluated run beside its baselines, and where results and pictures are.

    Args:
        folder: A run with ``evaluation/results.json`` inside.
    """
    path = folder / "evaluation" / "results.json"
    if not path.is_file():
        raise UserError(f"{path}: no results; run scripts/evaluate.py with --out {path.parent} first")
    results = json.loads(path.read_text())
    protocol = results["provenance"]
    splits = ", ".join(protocol["splits"])
    print(
        f"On {protocol['scenes']} rooms of {splits} ({protocol['points']:,} points; {protocol['release']}):"
    )
    lines = {"this model": results["scores"], **results["baselines"]}
    width = max(map(len, lines))
    for name, scores in lines.items():
        miou, accuracy = scores["miou"]["excluded"], scores["oa"]
        print(f"  {name:<{width}}  mIoU {100 * miou:5.1f} %  right points {100 * accuracy:5.1f} %")
    ranked = sorted((c for c in results["classes"] if c["iou"] is not None), key=lambda c: c["iou"])
    weakest = ", ".join(f"{c['name']} {100 * c['iou']:.0f} %" for c in ranked[:3])
    print(f"Weakest classes: {weakest}.")
    print(f"Table of all classes: {path.with_suffix('.md')}")
    for picture in sorted((folder / "pictures").glob("*.png")):
        print(f"Picture: {picture}")
    print(f"Checkpoint: {folder / 'best.ckpt'}; training curves: tensorboard --logdir {folder}")


if __name__ == "__main__":
    run(summary)
