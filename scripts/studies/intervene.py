"""Score a trained CTNet with other class features put in: ``python scripts/studies/intervene.py --ckpt … --out …``."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from studies.interventions import (
    CHANGES,
    BackboneOnce,
    CloudContext,
    Replacement,
    listening,
    putting_in,
)

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.cli import run
from pcseg.data.manifest import Manifest
from pcseg.data.sample import Sample, load_sample
from pcseg.errors import UserError
from pcseg.evaluation.points import entries_in, open_scene
from pcseg.evaluation.provenance import protocol_of, protocol_stamp, trained_on
from pcseg.evaluation.report import Report
from pcseg.inference.points import Prediction, predict_scene
from pcseg.inference.tta import SINGLE
from pcseg.metrics.confusion import ConfusionMatrix
from pcseg.metrics.rooms import RoomMatrices


def intervene(
    *,
    ckpt: Path,
    out: Path,
    changes: list[str] | None = None,
    root: Path | None = None,
    splits: list[str] | None = None,
    points_per_pass: int = 400_000,
) -> None:
    """Score a model once for every change, and write ``out/CHANGE/results.json`` as ``scripts/evaluate.py`` does.

    Args:
        ckpt: Checkpoint of a CTNet.
        out: Folder of the results.
        changes: Names of changes, all by default; see :data:`studies.interventions.CHANGES`.
        root: Prepared folder; without a value, the one that the model was trained on.
        splits: Areas or splits; without a value, those that training kept for the test.
        points_per_pass: Largest number of voxels of a room: class features are those of a whole room.

    Raises:
        UserError: As :func:`pcseg.evaluation.points.evaluate`; a model without class features; an unknown change; one
            room only, or one that is too large.
    """
    changes = list(CHANGES) if changes is None else changes
    for name in changes:
        if name not in CHANGES:
            raise UserError(f"--changes: no {name!r}; choose from {', '.join(CHANGES)}")
    model = load_checkpoint(ckpt)
    root = root or Path(trained_on(model, "root", option="--root"))
    splits = splits or list(trained_on(model, "test_splits", option="--splits"))
    manifest = Manifest.read(root)
    entries = entries_in(manifest, splits, root=root)
    if len(entries) < 2:
        raise UserError(f"{root}: {splits} hold one room; class features of another one need two")
    options = {"fragments": 1, "points_per_pass": points_per_pass, "margin": 1.0}
    patient = Patient(model=model, once=BackboneOnce(model.network).eval(), points_per_pass=points_per_pass)
    scenes = [open_scene(root, entry, model) for entry in entries]
    rooms = [load_sample(scene, name=entry.name) for scene, entry in zip(scenes, entries)]
    contexts = [patient.context(room) for room in rooms]
    counts: dict[str, list[torch.Tensor]] = {name: [] for name in changes}
    for number, room in enumerate(rooms):
        patient.once.forget()
        for name in changes:
            prediction = patient.predict(room, CHANGES[name](number, contexts))
            matrix = ConfusionMatrix(model.schema.num_classes)
            matrix.update(torch.from_numpy(prediction.label), torch.from_numpy(np.array(room.label)))
            counts[name].append(matrix.counts)
    stamp = protocol_stamp(
        model, manifest, entries, options, SINGLE, protocol=protocol_of(model.schema), boundary=0.0
    )
    for name in changes:
        all_rooms = RoomMatrices(names=tuple(room.name for room in rooms), counts=torch.stack(counts[name]))
        total = all_rooms.total()
        Report(
            protocol={**stamp, "put_in": name},
            names=model.schema.names,
            matrix=total,
            baselines={},
            rooms=all_rooms,
        ).write(out / name)
        print(f"{name}: mIoU {100 * total.mean_iou():.2f}")


@dataclass(frozen=True, kw_only=True)
class Patient:
    """A model on whose channel context module is operated."""

    model: LoadedModel
    once: BackboneOnce
    points_per_pass: int

    def predict(self, room: Sample, replacement: Replacement | None = None) -> Prediction:
        """What the model says of a room's points, with something put in."""
        with putting_in(self.once, replacement or Replacement()):
            return predict_scene(
                self.once,
                room,
                grid_size=self.model.grid_size,
                features=self.model.features,
                fragments=1,
                points_per_pass=self.points_per_pass,
            )

    def context(self, room: Sample) -> CloudContext:
        """What the channel context module says of a room."""
        self.once.forget()
        with listening(self.once) as heard:
            self.predict(room)
        if len(heard) != 1:
            raise UserError(
                f"{room.name}: does not fit into one pass of {self.points_per_pass} voxels; "
                "raise --points_per_pass"
            )
        return heard[0]


if __name__ == "__main__":
    run(intervene)
