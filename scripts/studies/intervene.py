"""Score a model with replaced class features: ``python scripts/studies/intervene.py --ckpt … --out …``."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from studies.interventions import CHANGES, cloud_contexts, replaced_context
from studies.slab_interventions import SLAB_CHANGES, replaced_tables, slab_context_of, tables_of

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.cli import run
from pcseg.data.manifest import Manifest
from pcseg.data.rooms import with_height
from pcseg.data.sample import Sample, load_sample
from pcseg.data.scene_batch import scene_batch
from pcseg.data.voxels import group_by_voxel
from pcseg.errors import UserError
from pcseg.evaluation.points import entries_in, open_scene
from pcseg.evaluation.provenance import default_protocol, provenance_record, training_argument
from pcseg.evaluation.report import Report
from pcseg.inference.clouds import in_axes_of
from pcseg.inference.points import POINTS_PER_PASS, PointOptions
from pcseg.inference.tta import SINGLE_PASS
from pcseg.metrics.confusion import ConfusionMatrix
from pcseg.nn.levels import Level, PointBatch


def intervene(
    *,
    ckpt: Path,
    out: Path,
    changes: list[str] | None = None,
    root: Path | None = None,
    splits: list[str] | None = None,
    points_per_pass: int = POINTS_PER_PASS,
) -> None:
    """Score a model once for every change, and write ``out/CHANGE/results.json`` as ``scripts/evaluate.py`` does.

    Args:
        ckpt: Checkpoint of a CTNet, or of a model with slab context.
        out: Folder of the results.
        changes: Names of changes, all by default; see :data:`studies.interventions.CHANGES` and
            :data:`studies.slab_interventions.SLAB_CHANGES`.
        root: Prepared folder; default: the training data.
        splits: Areas or splits; default: the test splits of training.
        points_per_pass: Maximum number of voxels per room: class features are those of a whole room.

    Raises:
        UserError: As :func:`pcseg.evaluation.evaluate.evaluate`; a model without class features; an unknown change; one
            room only, or one that is too large.
    """
    _require_known(changes or [], {**CHANGES, **SLAB_CHANGES})
    model = load_checkpoint(ckpt)
    slabs = slab_context_of(model.network.head) is not None
    known: Mapping[str, Any] = SLAB_CHANGES if slabs else CHANGES
    changes = list(known) if changes is None else changes
    _require_known(changes, known)
    root = root or Path(training_argument(model, "root", option="--root"))
    splits = splits or list(training_argument(model, "test_splits", option="--splits"))
    manifest = Manifest.read(root)
    entries = entries_in(manifest, splits, root=root)
    if len(entries) < 2:
        raise UserError(f"{root}: {splits} hold one room. Class features of another room need two.")
    options = PointOptions(fragments=1, points_per_pass=points_per_pass)
    scenes = [load_sample(open_scene(root, entry, model), name=entry.name) for entry in entries]
    rooms = [in_axes_of(model, scene) for scene in scenes]
    with torch.inference_mode():
        contexts = [context_of(model, room, points_per_pass) for room in rooms]
        counts: dict[str, list[torch.Tensor]] = {name: [] for name in changes}
        for number, room in enumerate(rooms):
            levels, batch, row = run_backbone(model, room)
            for name in changes:
                put_in = replaced_tables if slabs else replaced_context
                with put_in(model.network.head, known[name](number, contexts)):
                    logits = model.network.head(levels, batch).logits
                matrix = ConfusionMatrix(model.schema.num_classes)
                matrix.update(logits.argmax(1)[row], torch.from_numpy(np.array(room.label)))
                counts[name].append(matrix.counts)
    record = provenance_record(
        model, manifest, entries, options, SINGLE_PASS, protocol=default_protocol(manifest), boundary=0.0
    )
    for name in changes:
        matrices = torch.stack(counts[name])
        total = ConfusionMatrix(model.schema.num_classes, matrices.sum(0))
        provenance = {**record, "put_in": name}
        report = Report(provenance=provenance, names=model.schema.names, matrix=total, rooms=matrices)
        report.write(out / name)
        print(f"{name}: mIoU {100 * total.mean_iou():.2f}")


def _require_known(changes: list[str], known: Mapping[str, Any]) -> None:
    for name in changes:
        if name not in known:
            raise UserError(f"--changes: unknown change {name!r}. Choose from {', '.join(known)}.")


def run_backbone(model: LoadedModel, room: Sample) -> tuple[list[Level], PointBatch, np.ndarray]:
    """Return the levels of a whole room, its batch, and the row of the logits that each point reads."""
    groups = group_by_voxel(room.pos, model.grid_size)
    shown = replace(with_height(room, model.features).take(groups.pick(0)), grid_pos=groups.grid_pos)
    batch = scene_batch(shown, model.features)
    return model.network.backbone(batch), batch, groups.inverse


def context_of(model: LoadedModel, room: Sample, points_per_pass: int) -> Any:
    """Return what the context module computes for a room.

    Raises:
        UserError: The room has more than ``points_per_pass`` voxels.
    """
    levels, batch, _ = run_backbone(model, room)
    if len(levels[0].x) > points_per_pass:
        raise UserError(
            f"{room.name}: does not fit into one pass of {points_per_pass} voxels. Raise --points_per_pass."
        )
    head = model.network.head
    return tables_of(head, levels, batch) if slab_context_of(head) else cloud_contexts(head, levels, batch)[0]


if __name__ == "__main__":
    run(intervene)
