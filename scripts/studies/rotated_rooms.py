"""Score models on rooms rotated about the vertical: ``python scripts/studies/rotated_rooms.py --ckpts [A,B]``."""

from pathlib import Path

import numpy as np
from studies.shifts import count_points

from pcseg.checkpoint import load_checkpoint
from pcseg.cli import run
from pcseg.data.manifest import Manifest
from pcseg.data.sample import load_sample
from pcseg.data.transforms.geometry import rotation, turn
from pcseg.evaluation.points import entries_in, open_scene
from pcseg.evaluation.provenance import training_argument
from pcseg.files import write_text
from pcseg.metrics.confusion import ConfusionMatrix

INTRODUCTION = """# Rotated rooms

mIoU in percent of all points of the test rooms, which are rotated about the vertical by an angle. Models with estimated
axes (`data.room_axes`) rotate every room into axes along its walls, in training and prediction.

Made by `python scripts/studies/rotated_rooms.py`.

"""


def rotated_rooms(
    *,
    ckpts: list[Path],
    report: Path | None = None,
    angles: list[float] | None = None,
    root: Path | None = None,
) -> str:
    """Return a table of the mIoU of every model on its test rooms, rotated by every angle.

    Args:
        ckpts: Checkpoints of point models.
        report: File for the table.
        angles: Angles in degrees.
        root: Prepared folder; default: the training data.
    """
    angles = [0, 13, 27, 30, 45] if angles is None else angles
    header = " | ".join(["model", "axes", *(f"{angle:g}°" for angle in angles)])
    lines = [f"| {header} |", "|---" * (len(angles) + 2) + "|"]
    for ckpt in ckpts:
        model = load_checkpoint(ckpt)
        folder = root or Path(training_argument(model, "root", option="--root"))
        splits = list(training_argument(model, "test_splits", option="--splits"))
        matrices = {angle: ConfusionMatrix(model.schema.num_classes) for angle in angles}
        for entry in entries_in(Manifest.read(folder), splits, root=folder):
            room = load_sample(open_scene(folder, entry, model), name=entry.name)
            for angle, matrix in matrices.items():
                count_points(matrix, model, turn(room, rotation("z", np.deg2rad(angle))))
        scores = [f"{100 * matrix.mean_iou():.1f}" for matrix in matrices.values()]
        axes = "estimated" if model.card.room_axes else "of the file"
        lines.append("| " + " | ".join(["/".join(ckpt.parts[-3:-1]), axes, *scores]) + " |")
        print(lines[-1], flush=True)
    table = "\n".join(lines) + "\n"
    if report is not None:
        write_text(report, f"{INTRODUCTION}{table}")
    return table


if __name__ == "__main__":
    run(rotated_rooms)
