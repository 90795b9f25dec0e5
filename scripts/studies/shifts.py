"""Score a model on altered scenes: ``python scripts/studies/shifts.py CKPT --out runs/studies/shifts``."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.cli import run
from pcseg.data.indoor import Classes
from pcseg.data.manifest import Manifest
from pcseg.data.sample import Sample, load_sample
from pcseg.data.transforms import RandomSpacing
from pcseg.data.transforms.geometry import rotation, turn
from pcseg.evaluation.points import entries_in, open_scene
from pcseg.evaluation.provenance import training_argument
from pcseg.files import write_json, write_text
from pcseg.inference.class_sets import with_classes
from pcseg.inference.clouds import predict_sample
from pcseg.inference.points import PointOptions
from pcseg.labels import IGNORE_INDEX
from pcseg.metrics.confusion import ConfusionMatrix

INTRODUCTION = """# Shifts

Accuracy and mIoU in percent of all points of the test scenes, each altered in one way that real scans differ in. The
limit is the largest loss that is aimed at.

"""


def _yaw(sample: Sample, model: LoadedModel, rng: np.random.Generator) -> Sample:
    return turn(sample, rotation("z", np.deg2rad(30)))


def _ground(sample: Sample, model: LoadedModel, rng: np.random.Generator) -> Sample:
    """Add stray points 3 m below 2 % of all points that lie near the floor."""
    low = np.flatnonzero(sample.pos[:, 2] <= np.quantile(sample.pos[:, 2], 0.2))
    rows = rng.choice(low, max(1, sample.num_points // 50))
    more = replace(
        sample.take(rows),
        pos=sample.pos[rows] - np.float32([0, 0, 3]),
        label=np.full(len(rows), IGNORE_INDEX, sample.label.dtype),
    ).arrays()
    return replace(
        sample, **{name: np.concatenate([array, more[name]]) for name, array in sample.arrays().items()}
    )


def _exposed(factor: float) -> Callable[..., Sample]:
    def change(sample: Sample, model: LoadedModel, rng: np.random.Generator) -> Sample:
        return replace(sample, color=np.clip(sample.color * np.float32(factor), 0, 255))

    return change


def _tilt(sample: Sample, model: LoadedModel, rng: np.random.Generator) -> Sample:
    return turn(sample, rotation("x", np.deg2rad(3)))


def _spacing(sample: Sample, model: LoadedModel, rng: np.random.Generator) -> Sample:
    return RandomSpacing(p=1, low=0.1, high=0.1)(sample, rng)


def _noise(sample: Sample, model: LoadedModel, rng: np.random.Generator) -> Sample:
    return replace(sample, pos=sample.pos + rng.normal(0, 0.02, sample.pos.shape).astype(np.float32))


def _no_ceiling(sample: Sample, model: LoadedModel, rng: np.random.Generator) -> Sample:
    names = list(model.schema.names)
    ceiling = names.index("ceiling") if "ceiling" in names else -2
    return sample.take(np.flatnonzero(sample.label != ceiling))


def _no_color(sample: Sample, model: LoadedModel, rng: np.random.Generator) -> Sample:
    color = np.array(model.card.missing_fields["color"], np.float32)
    return replace(sample, color=np.broadcast_to(color, sample.color.shape))


def _same(sample: Sample, model: LoadedModel, rng: np.random.Generator) -> Sample:
    return sample


SHIFTS: Mapping[str, tuple[Callable[[Sample, LoadedModel, np.random.Generator], Sample], str, float]] = {
    "none": (_same, "accuracy", 0),
    "yaw 30°": (_yaw, "accuracy", 2),
    "ground 3 m off": (_ground, "accuracy", 2),
    "exposure x1.6": (_exposed(1.6), "accuracy", 4),
    "exposure x0.6": (_exposed(0.6), "accuracy", 4),
    "tilt 3°": (_tilt, "miou", 2),
    "spacing 10 cm": (_spacing, "accuracy", 4),
    "noise 20 mm": (_noise, "accuracy", 3),
    "no ceiling": (_no_ceiling, "accuracy", 1),
    "no color": (_no_color, "accuracy", 3),
}
"""Changes of a scene, and the largest loss of a score in percent that is aimed at."""


def shifts(
    ckpt: Path,
    *,
    out: Path = Path("runs/studies/shifts"),
    root: Path | None = None,
    splits: list[str] | None = None,
    classes: Classes | None = None,
    names: list[str] | None = None,
    report: Path | None = None,
    most: int | None = None,
) -> str:
    """Score a model on the scenes of a split under every shift and return the table; finished rows are kept.

    Args:
        ckpt: Checkpoint of a point model, or indoor-small.
        out: Folder of the scores, one file per model, data and shift.
        root: Prepared folder; default: the training data.
        splits: Splits to score; default: the test splits of training.
        classes: Label set of a model of the indoor classes, if the data has other ones.
        names: Only these shifts; default: all.
        report: File for the table.
        most: Only this many scenes.
    """
    model = load_checkpoint(ckpt)
    model = model if classes is None else with_classes(model, classes)
    root = root or Path(training_argument(model, "root", option="--root"))
    splits = splits or list(training_argument(model, "test_splits", option="--splits"))
    rows = shift_scores(model, root=root, splits=splits, out=out, names=names, most=most)
    table = _table(rows)
    if report is not None:
        manifest = Manifest.read(root)
        count = len(entries_in(manifest, splits, root=root)[:most])
        scenes = f"{count} scenes of {', '.join(splits)} ({manifest.release}), model {model.hash}.\n\n"
        write_text(report, INTRODUCTION + scenes + table)
    return table


def shift_scores(
    model: LoadedModel,
    *,
    root: Path,
    splits: list[str],
    out: Path,
    names: list[str] | None = None,
    most: int | None = None,
) -> dict[str, dict[str, float]]:
    """Return accuracy and mIoU of a model under every shift; the arguments are those of :func:`shifts`."""
    manifest = Manifest.read(root)
    entries = entries_in(manifest, splits, root=root)[:most]
    folder = out / f"{model.hash}_{manifest.hash}_{'_'.join(splits)}_{len(entries)}_{model.schema.name}"
    rows: dict[str, dict[str, float]] = {}
    for name in names or SHIFTS:
        change = SHIFTS[name][0]
        path = folder / f"{name.replace(' ', '_')}.json"
        if not path.is_file():
            matrix = ConfusionMatrix(model.schema.num_classes)
            for number, entry in enumerate(entries):
                scene = load_sample(open_scene(root, entry, model), name=entry.name)
                count_points(matrix, model, change(scene, model, np.random.default_rng(number)))
            write_json(path, {"accuracy": matrix.overall_accuracy(), "miou": matrix.mean_iou()})
        rows[name] = json.loads(path.read_text())
        print(f"{name}: {rows[name]}", flush=True)
    return rows


def count_points(matrix: ConfusionMatrix, model: LoadedModel, scene: Sample) -> None:
    """Predict a scene and add its points to ``matrix``."""
    found = predict_sample(model, scene, options=PointOptions())
    matrix.update(torch.from_numpy(found.label).long(), torch.from_numpy(np.array(scene.label)))


def _table(rows: Mapping[str, Mapping[str, float]]) -> str:
    lines = ["| shift | accuracy | mIoU | loss | limit |", "|---|---|---|---|---|"]
    for name, row in rows.items():
        _, score, limit = SHIFTS[name]
        loss = 100 * (rows.get("none", row)[score] - row[score])
        aimed = "" if name == "none" else f"{limit:g} {'mIoU' if score == 'miou' else 'accuracy'}"
        lines.append(
            f"| {name} | {100 * row['accuracy']:.1f} | {100 * row['miou']:.1f} | {loss:.1f} | {aimed} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(shifts)
