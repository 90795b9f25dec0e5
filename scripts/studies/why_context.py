"""Does a head fail for want of context? Ceilings, errors and the state of its module, of trained checkpoints."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from studies.passes import Findings, Room, body_of, prepare_room, read_rooms
from studies.why_numbers import (
    GRIDS,
    WIDTHS,
    Truth,
    error_numbers,
    grid_ceiling,
    matrix_of,
    oracle_scores,
    own_context,
    points_know,
    scores,
    shares_elsewhere,
    state_numbers,
)
from studies.why_objects import gather_objects
from studies.why_report import markdown
from studies.why_rooms import what_things_are
from torch import Tensor

from pcseg.analysis.context_state import parameters_of
from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.data.manifest import Manifest
from pcseg.data.sample import load_sample
from pcseg.errors import UserError
from pcseg.evaluate import entries_in, open_scene
from pcseg.protocols import kept_from_training, protocol_of, protocol_stamp, trained_on
from pcseg.reports import write_text
from pcseg.votes import SINGLE

NAME = "why_context"

VARIANTS = ("fcn", "encnet", "ctnet", "ccnet")
"""Runs of the head study that differ in nothing but their context module."""


def why_context(
    *,
    data: Path = Path("data/rooms"),
    runs: Path = Path("runs/studies"),
    out: Path = Path("runs/why_context"),
    report: Path = Path("docs/studies"),
    variants: list[str] | None = None,
    seeds: int = 3,
    seen_split: str = "Area_1",
    raw: Path | None = None,
) -> None:
    """Measure the trained runs of ``scripts/study.py heads``, and write ``report/why_context.md`` and ``.json``.

    Nothing is trained. What is measured already is not measured again.

    Args:
        data: Prepared folder that the runs were trained on.
        runs: Folder of the runs, ``runs/VARIANT/seed_N/best.ckpt``.
        out: Folder of the numbers of every run.
        report: Folder of the tables.
        variants: Names of runs; without a value, fcn and the context heads on the same backbone.
        seeds: Number of seeds.
        raw: Folder of the raw rooms that ``data`` was prepared from, to say what lost objects are made of.
        seen_split: Area that the models were trained on, to tell what was not learned from what does not carry over.

    Raises:
        UserError: A run or folder that is missing, checkpoints of different inputs, or numbers in ``out`` of other
            checkpoints or rooms.
    """
    names = variants or VARIANTS
    checkpoints = {
        (name, seed): runs / name / f"seed_{seed}" / "best.ckpt" for seed in range(seeds) for name in names
    }
    for path in checkpoints.values():
        if not path.is_file():
            raise UserError(f"{path}: no such run; train it with scripts/study.py heads")
    study = _Rooms(data, checkpoints[names[0], 0], seen_split)
    made_of = study.made_of(raw) if raw else {}
    console = Console(stderr=True)
    for (name, seed), path in track(checkpoints.items(), "Measuring runs", console=console):
        _measure(study, path, out / name / f"seed_{seed}")
    numbers = {
        name: [json.loads((out / name / f"seed_{seed}.json").read_text()) for seed in range(seeds)]
        for name in names
    }
    content = {
        "command": " ".join(["python scripts/why_context.py", *sys.argv[1:]]),
        "classes": list(study.names),
        "widths": list(WIDTHS),
        "crop_voxels": study.crop_voxels,
        "rooms": study.sizes(),
        "grids": {f"{edge:g}": scores(grid_ceiling(study.truths, edge)) for edge in GRIDS},
        "ensembles": _ensembles(study.truths, names, seeds, out),
        "objects": gather_objects(numbers, made_of),
        "runs": numbers,
    }
    report.mkdir(parents=True, exist_ok=True)
    write_text(report / f"{NAME}.json", json.dumps(content) + "\n")
    write_text(report / f"{NAME}.md", markdown(content))
    print(report / f"{NAME}.md")


class _Rooms:
    """The unseen rooms, and rooms of training, prepared once for all checkpoints."""

    def __init__(self, root: Path, first: Path, seen_split: str) -> None:
        model = load_checkpoint(first)
        self.root, self.manifest = root, Manifest.read(root)
        self.grid_size, self.features = model.grid_size, tuple(model.features)
        self.crop_voxels = int(
            trained_on(model, "max_voxels", option="a checkpoint that was trained on crops")
        )
        self.entries = entries_in(self.manifest, trained_on(model, "test_splits", option="--data"), root=root)
        self.unseen = self._prepare(model, self.entries, self.crop_voxels)
        self.seen_entries = entries_in(self.manifest, [seen_split], root=root)
        if kept_from_training(model, self.manifest, [seen_split]):
            raise UserError(f"--seen_split {seen_split}: {first} was not trained on it")
        self.seen = self._prepare(model, self.seen_entries, None)
        self.names = model.schema.names
        others = [entry for entry in self.manifest.scenes if entry not in self.entries]
        elsewhere = shares_elsewhere([entry.class_histogram for entry in others])
        self.truths = [Truth(room=room, names=self.names, elsewhere=elsewhere) for room in self.unseen]
        self.seen_truths = [Truth(room=room, names=self.names) for room in self.seen]

    def _prepare(self, model: LoadedModel, entries: Sequence[Any], crop_voxels: int | None) -> list[Room]:
        scenes = [open_scene(self.root, entry, model) for entry in entries]
        return [
            prepare_room(
                load_sample(scene, name=f"{entry.split}/{entry.name}"),
                grid_size=self.grid_size,
                features=self.features,
                crop_voxels=crop_voxels,
            )
            for scene, entry in zip(scenes, entries)
        ]

    def load(self, path: Path) -> LoadedModel:
        """A checkpoint of the same inputs as the first."""
        model = load_checkpoint(path)
        if (model.grid_size, tuple(model.features)) != (self.grid_size, self.features):
            raise UserError(f"{path}: has another grid or other features than the first run")
        return model

    def stamp(self, model: LoadedModel) -> dict[str, Any]:
        options = {"fragments": 1, "points_per_pass": 400_000, "margin": 1.0}
        protocol = protocol_of(model.schema)
        return protocol_stamp(
            model, self.manifest, self.entries, options, SINGLE, protocol=protocol, boundary=0.0
        )

    def made_of(self, raw: Path) -> dict[str, str]:
        """What windows, boards and doors are made of, by ``room/instance``."""
        made = what_things_are(raw, self.root, [*self.entries, *self.seen_entries])
        return {f"{room}/{number}": str(what) for (room, number), what in made.items()}

    def sizes(self) -> list[dict[str, Any]]:
        """Voxels and crops of every unseen room."""
        return [
            {"room": room.sample.name, "voxels": room.num_voxels, "crops": len(room.crops)}
            for room in self.unseen
        ]


def _measure(study: _Rooms, path: Path, place: Path) -> None:
    """Write the numbers of a checkpoint to ``place.json`` and its probabilities to ``place.pt``, once."""
    model, file = study.load(path), place.with_suffix(".json")
    stamp = study.stamp(model)
    if file.is_file():
        if json.loads(file.read_text())["protocol"] != stamp:
            raise UserError(f"{file}: numbers of another checkpoint or of other rooms; give another --out")
        return
    found = read_rooms(model, study.unseen)
    seen = read_rooms(model, study.seen)
    own = own_context(found)
    numbers = {
        "protocol": stamp,
        "oracles": oracle_scores(study.truths, found.whole),
        "crops": scores(matrix_of(study.truths, [prob.argmax(1) for prob in found.crops])),
        "without": scores(matrix_of(study.truths, found.without)) if found.without else None,
        "own": scores(matrix_of(study.truths, own)) if own else None,
        "points_know": points_know(study.truths, found.whole),
        "seen_rooms": scores(matrix_of(study.seen_truths, [prob.argmax(1) for prob in seen.whole])),
        "errors": error_numbers(study.truths, found.whole),
        "seen_errors": error_numbers(study.seen_truths, seen.whole),
        "state": state_numbers(found) | parameters_of(body_of(model)),
        "room_miou": _by_room(study.truths, found),
    }
    place.parent.mkdir(parents=True, exist_ok=True)
    torch.save(found.whole, place.with_suffix(".pt"))
    write_text(file, json.dumps(numbers) + "\n")


def _by_room(truths: Sequence[Truth], found: Findings) -> dict[str, float]:
    """mIoU of every room, in percent."""
    return {
        truth.room.sample.name: 100 * matrix_of([truth], [prob.argmax(1)]).mean_iou()
        for truth, prob in zip(truths, found.whole)
    }


def _ensembles(truths: Sequence[Truth], names: Sequence[str], seeds: int, out: Path) -> dict[str, Any]:
    """Scores of the mean probabilities of all seeds of a variant, and of all runs."""
    kept = {
        name: _mean([torch.load(out / name / f"seed_{seed}.pt", weights_only=True) for seed in range(seeds)])
        for name in names
    }
    kept["all"] = _mean(list(kept.values()))
    return {
        name: scores(matrix_of(truths, [prob.argmax(1) for prob in probs])) for name, probs in kept.items()
    }


def _mean(runs: list[list[Tensor]]) -> list[Tensor]:
    return [torch.from_numpy(np.mean([prob.numpy() for prob in probs], axis=0)) for probs in zip(*runs)]
