"""Evaluation: predict every original point of a split, count, and report the scores with their protocol."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.data.dataset import RoomFiles
from pcseg.data.manifest import Manifest, SceneEntry
from pcseg.data.predictions import SavedPrediction, read_prediction, write_prediction
from pcseg.data.sample import load_sample
from pcseg.data.scenes import Scene, check_scene, read_scene
from pcseg.data.schemas import benchmark_of
from pcseg.errors import UserError
from pcseg.evaluation.baselines import height_and_color, most_frequent_class, require_sklearn
from pcseg.evaluation.provenance import predictions_hash, protocol_of, protocol_stamp, trained_on
from pcseg.evaluation.report import Report
from pcseg.files import make_folder
from pcseg.inference.points import Fragments, Vote, choose_device, predict_scene
from pcseg.inference.tta import SINGLE, VIEWS, Protocol
from pcseg.metrics.boundary import BoundaryCounts, boundary_counts
from pcseg.metrics.confusion import ConfusionMatrix
from pcseg.metrics.rooms import RoomMatrices

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
    protocol: Protocol | None = None,
    tta: bool = False,
    boundary: float = 0.05,
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
        protocol: Whose rules are followed: ``s3dis`` or ``scannet``; without a value, those of the classes.
            ``scannet`` adds what the benchmark's script writes; it also decides which passes ``tta`` makes.
        tta: Average the scores of the protocol's test-time augmentation (S3DIS: 10 passes, ScanNet: 13); the
            scores of the first pass alone are reported beside it.
        boundary: Width in metres of the neighbourhoods in which boundary IoU is counted; 0 leaves it out.
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
    protocol = protocol or protocol_of(model.schema)
    benchmark = benchmark_of(model.schema, source=str(ckpt)) if protocol == "scannet" else None
    votes: tuple[Vote, ...] = VIEWS[protocol] if tta else SINGLE
    options = {"fragments": fragments, "points_per_pass": points_per_pass, "margin": margin}
    hashes = [predictions_hash(model, manifest, options, some) for some in dict.fromkeys((votes, SINGLE))]
    folders = tuple(out / "predictions" / model.hash / name for name in hashes)
    model.network.to(choose_device(device))
    task = Task(model=model, options=options, votes=votes, folders=folders, boundary=boundary)
    try:
        scores = score_scenes(task, root, entries, progress_bar=progress_bar)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("scenes that are predicted are kept, run again to go on") from None
    report = Report(
        protocol=protocol_stamp(
            model, manifest, entries, options, votes, protocol=protocol, boundary=boundary
        ),
        names=model.schema.names,
        matrix=scores.rooms.total(),
        baselines=compare(root, others, entries, model.schema.names) if baselines else {},
        first=scores.first,
        boundary=scores.boundary,
        rooms=scores.rooms,
        ids=benchmark.ids if benchmark else None,
    )
    report.write(out)
    return report


def entries_in(manifest: Manifest, splits: Sequence[str], *, root: Path) -> tuple[SceneEntry, ...]:
    """The scenes of ``splits``, all of which must exist."""
    for split in splits:
        if split not in manifest.splits:
            raise UserError(f"{root}: no area or split {split!r}; there are {', '.join(manifest.splits)}")
    return tuple(entry for entry in manifest.scenes if entry.split in splits)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Counts of a split.

    Args:
        rooms: Confusion matrix of every scene.
        first: Confusion matrix of the first pass alone, where several are averaged.
        boundary: Points near boundaries, where asked for.
    """

    rooms: RoomMatrices
    first: ConfusionMatrix | None
    boundary: BoundaryCounts | None


@dataclass(frozen=True, kw_only=True)
class Task:
    """How the scenes of a split are predicted and where predictions are kept.

    Args:
        model: Predicts.
        options: Further arguments of :func:`predict_scene`.
        votes: Views whose scores are averaged.
        folders: Where predictions are stored: those of all votes, and those of the first alone if there are more.
        boundary: Width of boundaries in metres; 0 for none.
    """

    model: LoadedModel
    options: dict[str, Any]
    votes: tuple[Vote, ...]
    folders: tuple[Path, ...]
    boundary: float

    def places(self, entry: SceneEntry) -> list[Path]:
        """The files of a scene's predictions."""
        return [folder / entry.split / f"{entry.name}.npz" for folder in self.folders]


def score_scenes(task: Task, root: Path, entries: Sequence[SceneEntry], *, progress_bar: bool) -> Scores:
    """Count all scenes; predictions are read from the task's folders or made and stored there."""
    model = task.model
    scenes = [open_scene(root, entry, model) for entry in entries]  # all, so that errors come early
    for folder in task.folders:
        make_folder(folder)
    todo = [not all(place.exists() for place in task.places(entry)) for entry in entries]
    matrices: list[list[ConfusionMatrix]] = []
    boundary: BoundaryCounts | None = None
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress_bar) as progress:
        bar = progress.add_task("", total=sum(scene.num_points for scene, open in zip(scenes, todo) if open))
        for number, (entry, scene) in enumerate(zip(entries, scenes)):
            name = f"{entry.split}/{entry.name}"
            progress.update(bar, description=f"{name} ({number + 1} of {len(entries)})")
            places = task.places(entry)
            if todo[number]:
                before = progress.tasks[bar].completed
                predict_and_store(
                    task, scene, places, name=name,
                    on_progress=lambda share, before=before, scene=scene: progress.update(
                        bar, completed=before + share * scene.num_points
                    ),
                )  # fmt: skip
            label = np.array(scene.label)
            predicted = [read_prediction(place).label for place in places]
            matrices.append([ConfusionMatrix(model.schema.num_classes) for _ in places])
            for matrix, pred in zip(matrices[-1], predicted):
                matrix.update(torch.from_numpy(pred), torch.from_numpy(label))
            if task.boundary:
                counts = boundary_counts(
                    scene.pos, predicted[0], label,
                    num_classes=model.schema.num_classes, width=task.boundary,
                )  # fmt: skip
                boundary = counts if boundary is None else boundary + counts
    names = tuple(f"{entry.split}/{entry.name}" for entry in entries)
    several = len(task.folders) > 1
    return Scores(
        rooms=RoomMatrices(names=names, counts=torch.stack([each[0].counts for each in matrices])),
        first=sum((each[1] for each in matrices[1:]), matrices[0][1]) if several else None,
        boundary=boundary,
    )


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
    task: Task, scene: Scene, places: Sequence[Path], *, name: str, on_progress: Callable[[float], None]
) -> None:
    """Predict a scene and write each of ``places`` in one step: all votes, then the first alone."""
    check_scene(scene)
    model = task.model
    prediction = predict_scene(
        model.network,
        load_sample(scene, name=name),
        grid_size=model.grid_size,
        features=model.features,
        votes=task.votes,
        on_progress=on_progress,
        **task.options,
    )
    for place, part in zip(places, (prediction, prediction.first)):
        assert part is not None, "several places for a single vote"
        saved = SavedPrediction(
            label=part.label,
            confidence=part.confidence,
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
