"""Evaluation: predict every original point of a split, count, and report the scores with their protocol."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pcseg import __version__
from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.data.dataset import RoomFiles
from pcseg.data.manifest import Manifest, SceneEntry
from pcseg.data.predictions import SavedPrediction, read_prediction, write_prediction
from pcseg.data.sample import load_sample
from pcseg.data.scenes import Scene, check_scene, read_scene
from pcseg.errors import UserError
from pcseg.inference import Fragments, Vote, choose_device, identity, predict_scene
from pcseg.metrics.baselines import height_and_color, most_frequent_class, require_sklearn
from pcseg.metrics.confusion import ConfusionMatrix
from pcseg.reports import Report

VOTES: tuple[Vote, ...] = (identity,)
"""Views of a scene whose scores are averaged."""

TEST_POINTS = 1_000_000
"""Most points that the slow baseline is scored on."""


def evaluate(
    *,
    ckpt: Path,
    out: Path,
    root: Path | None = None,
    splits: list[str] | str | None = None,
    fragments: Fragments = "all",
    points_per_pass: int = 400_000,
    margin: float = 1.0,
    baselines: bool = False,
    device: str = "auto",
    progress_bar: bool = True,
) -> Report:
    """Score a trained model on all original points of a split of a prepared data set.

    Writes ``out/results.json``, ``out/results.md`` and the predictions of every scene in a folder named by
    checkpoint and protocol: another model never finds them, and an evaluation that was stopped goes on.

    Args:
        ckpt: Checkpoint written by training.
        out: Folder of results and predictions.
        root: Prepared folder; without a value, the one that the model was trained on.
        splits: One area or split, or a list; without a value, those that training kept for the test.
        fragments: Passes over a scene: ``all`` shows every original point to the model, a number that many
            points of a voxel, whose scores all its points take (1 is the fastest).
        points_per_pass: Largest number of voxels in a pass; larger scenes are cut into blocks.
        margin: Width in metres of the context around a block.
        baselines: Score simple predictors too, so that the numbers mean something (needs scikit-learn).
        device: Where the model runs: ``auto``, ``cpu``, ``cuda`` or one of several GPUs such as ``cuda:1``.
        progress_bar: Show progress and time left.

    Raises:
        UserError: A checkpoint, folder or scene that is missing, damaged or empty, an unknown split, or scenes
            of other classes than the model's.
    """
    model = load_checkpoint(ckpt)
    root = root or Path(trained_on(model, "root", option="--root"))
    splits = splits or list(trained_on(model, "test_splits", option="--splits"))
    splits = [splits] if isinstance(splits, str) else splits
    manifest = Manifest.read(root)
    model.schema.require_same(manifest.schema, this=str(ckpt), that=str(root))
    entries = entries_in(manifest, splits, root=root)
    others = tuple(entry for entry in manifest.scenes if entry.split not in splits)
    if baselines:
        require_sklearn()
        if not others:
            raise UserError(f"{root}: baselines learn from other splits than {splits}, and there are none")
    options = {"fragments": fragments, "points_per_pass": points_per_pass, "margin": margin}
    protocol = protocol_stamp(model, manifest, entries, options)
    folder = out / "predictions" / model.hash / protocol["predictions"]
    model.segmentor.to(choose_device(device))
    matrix = score_scenes(model, root, entries, folder, options, progress_bar=progress_bar)
    compared = compare(root, others, entries, model.schema.names) if baselines else {}
    report = Report(protocol=protocol, names=model.schema.names, matrix=matrix, baselines=compared)
    report.write(out)
    return report


def data_arguments(model: LoadedModel) -> dict[str, Any]:
    """The arguments of the training data in the configuration of a checkpoint; empty if it has none."""
    data = model.config.get("data", {})
    return data.get("init_args", data)


def trained_on(model: LoadedModel, key: str, *, option: str) -> Any:
    """One argument of the training data; :class:`UserError` names the option to give if it is not known."""
    value = data_arguments(model).get(key)
    if value is None:
        raise UserError(f"{model.path}: its configuration does not name the data's {key}; give {option}")
    return value


def entries_in(manifest: Manifest, splits: Sequence[str], *, root: Path) -> tuple[SceneEntry, ...]:
    """The scenes of ``splits``, all of which must exist."""
    for split in splits:
        if split not in manifest.splits:
            raise UserError(f"{root}: no area or split {split!r}; there are {', '.join(manifest.splits)}")
    return tuple(entry for entry in manifest.scenes if entry.split in splits)


def protocol_stamp(
    model: LoadedModel, manifest: Manifest, entries: Sequence[SceneEntry], options: dict[str, Any]
) -> dict[str, Any]:
    """Everything that the scores depend on; ``predictions`` is the hash of what the predictions depend on."""
    shared = {
        "manifest": manifest.hash,
        "grid_size": model.grid_size,
        "features": list(model.features),
        **options,
        "votes": [getattr(vote, "__name__", str(vote)) for vote in VOTES],
        "pcseg": __version__,
    }
    return {
        "dataset": manifest.dataset,
        "release": manifest.release,
        "splits": sorted({entry.split for entry in entries}),
        "kept_from_training": kept_from_training(model, manifest, [entry.split for entry in entries]),
        "scenes": len(entries),
        "points": sum(entry.num_points for entry in entries),
        **shared,
        "checkpoint": model.hash,
        "checkpoint_version": model.card.version,
        "seed": model.card.seed,
        "trained_on_manifest": model.card.manifest_hash,
        "schema": model.schema.name,
        "classes": list(model.schema.names),
        "predictions": hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:16],
    }


def kept_from_training(model: LoadedModel, manifest: Manifest, splits: Sequence[str]) -> bool | None:
    """Whether neither training nor the choice of the checkpoint saw ``splits``; ``None`` where it is not known."""
    arguments = data_arguments(model)
    if manifest.hash != model.card.manifest_hash or "test_splits" not in arguments:
        return None
    return set(splits) <= set(arguments["test_splits"]) - set(arguments.get("val_splits") or ())


def score_scenes(
    model: LoadedModel,
    root: Path,
    entries: Sequence[SceneEntry],
    folder: Path,
    options: dict[str, Any],
    *,
    progress_bar: bool,
) -> ConfusionMatrix:
    """Confusion matrix of all scenes; predictions are read from ``folder`` or made and stored there."""
    scenes = [open_scene(root, entry, model) for entry in entries]  # all, so that errors come early
    places = [folder / entry.split / f"{entry.name}.npz" for entry in entries]
    matrix = ConfusionMatrix(model.schema.num_classes)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress_bar) as progress:
        total = sum(scene.num_points for scene, place in zip(scenes, places) if not place.exists())
        task = progress.add_task("", total=total)
        for number, (entry, scene, place) in enumerate(zip(entries, scenes, places), 1):
            name = f"{entry.split}/{entry.name}"
            progress.update(task, description=f"{name} ({number} of {len(entries)})")
            if not place.exists():
                predict_and_store(model, scene, place, options, name=name, progress=progress, task=task)
            label = torch.from_numpy(np.array(scene.label))
            matrix.update(torch.from_numpy(read_prediction(place).label), label)
    return matrix


def open_scene(root: Path, entry: SceneEntry, model: LoadedModel) -> Scene:
    """A scene of the model's classes and of the size that the manifest says."""
    scene = read_scene(root / entry.path)
    model.schema.require_same(scene.schema, this=str(model.path), that=str(scene.path))
    if scene.num_points != entry.num_points:
        raise UserError(
            f"{scene.path}: holds {scene.num_points} points, the manifest says {entry.num_points}; prepare again"
        )
    return scene


def predict_and_store(
    model: LoadedModel,
    scene: Scene,
    place: Path,
    options: dict[str, Any],
    *,
    name: str,
    progress: Progress,
    task: TaskID,
) -> None:
    """Predict a scene, write ``place`` in one step, and advance the progress bar by the scene's points."""
    check_scene(scene)
    before = progress.tasks[task].completed
    prediction = predict_scene(
        model.segmentor,
        load_sample(scene, name=name),
        grid_size=model.grid_size,
        features=model.features,
        voxel_value=model.voxel_value,
        votes=VOTES,
        on_progress=lambda share: progress.update(task, completed=before + share * scene.num_points),
        **options,
    )
    saved = SavedPrediction(
        label=prediction.label,
        confidence=prediction.confidence,
        schema=model.schema,
        source=name,
        checkpoint=model.hash,
    )
    write_prediction(place, saved)


def compare(
    root: Path, train: tuple[SceneEntry, ...], test: tuple[SceneEntry, ...], names: Sequence[str]
) -> dict[str, ConfusionMatrix]:
    """Baselines that learn from the scenes ``train`` and are scored on ``test``, by their description."""
    train_counts = np.sum([entry.class_histogram for entry in train], axis=0).tolist()
    test_counts = np.sum([entry.class_histogram for entry in test], axis=0).tolist()
    forest = height_and_color(
        RoomFiles(root=root, entries=train),
        RoomFiles(root=root, entries=test),
        num_classes=len(names),
        test_points=TEST_POINTS,
    )
    most_frequent = names[int(np.argmax(train_counts))]
    total = sum(entry.num_points for entry in test)
    scored = "all points" if total <= TEST_POINTS else f"{TEST_POINTS:,} random points"
    return {
        f"{most_frequent} everywhere (most frequent training class)": most_frequent_class(
            train_counts, test_counts
        ),
        f"random forest on height and colour of single points ({scored})": forest,
    }
