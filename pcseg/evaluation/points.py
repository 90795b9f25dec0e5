"""Evaluate point models: predict every original point of a split, store the predictions, and count."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pcseg.checkpoint import LoadedModel
from pcseg.data.manifest import Manifest, SceneEntry
from pcseg.data.predictions import SavedPrediction, read_prediction, write_prediction
from pcseg.data.sample import load_sample
from pcseg.data.scenes import Scene, check_scene, read_scene
from pcseg.data.schemas import benchmark_of
from pcseg.errors import UserError
from pcseg.evaluation.baselines import require_sklearn, score_baselines
from pcseg.evaluation.provenance import (
    default_protocol,
    provenance_record,
    training_argument,
)
from pcseg.evaluation.report import Report
from pcseg.files import make_folder
from pcseg.inference.points import PointOptions, predict_scene
from pcseg.inference.tta import SINGLE_PASS, TTA_PASSES, EvaluationProtocol, TTAPass
from pcseg.metrics.boundary import BoundaryCounts, boundary_counts
from pcseg.metrics.confusion import ConfusionMatrix
from pcseg.metrics.rooms import RoomMatrices


def evaluate_points(
    model: LoadedModel,
    *,
    out: Path,
    root: Path | None,
    splits: Sequence[str] | None,
    options: PointOptions,
    protocol: EvaluationProtocol | None,
    tta: bool,
    boundary: float,
    baselines: bool,
    progress_bar: bool,
) -> Report:
    """Score a point model; see :func:`pcseg.evaluation.evaluate.evaluate` for the arguments."""
    root = root or Path(training_argument(model, "root", option="--root"))
    splits = list(splits or training_argument(model, "test_splits", option="--splits"))
    manifest = Manifest.read(root)
    model.schema.require_same(manifest.schema, this=str(model.path), that=str(root))
    entries = entries_in(manifest, splits, root=root)
    others = tuple(entry for entry in manifest.scenes if entry.split not in splits)
    if baselines:
        require_sklearn()
        if not others:
            raise UserError(
                f"--baselines: there are no splits besides {', '.join(splits)} to train on. Leave it out."
            )
    protocol = protocol or default_protocol(manifest)
    benchmark = benchmark_of(model.schema, source=str(model.path)) if protocol == "scannet" else None
    passes = TTA_PASSES[protocol] if tta else SINGLE_PASS
    records = [
        provenance_record(model, manifest, entries, options, some, protocol=protocol, boundary=boundary)
        for some in dict.fromkeys((passes, SINGLE_PASS))
    ]
    folders = tuple(out / "predictions" / model.hash / record["predictions"] for record in records)
    task = EvaluationTask(model=model, options=options, passes=passes, folders=folders, boundary=boundary)
    try:
        rooms, single_pass, near = count_scenes(task, root, entries, progress_bar=progress_bar)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished scenes are stored; run the command again to resume") from None
    return Report(
        provenance=records[0],
        names=model.schema.names,
        matrix=rooms.total(),
        baselines=score_baselines(root, others, entries, model.schema.names) if baselines else {},
        single_pass=single_pass,
        boundary=near,
        rooms=rooms,
        ids=benchmark.ids if benchmark else None,
    )


def entries_in(manifest: Manifest, splits: Sequence[str], *, root: Path) -> tuple[SceneEntry, ...]:
    """Return the scenes of ``splits``; raise :class:`UserError` for an unknown split."""
    for split in splits:
        if split not in manifest.splits:
            raise UserError(f"{root}: no area or split {split!r}. Choose from {', '.join(manifest.splits)}.")
    return tuple(entry for entry in manifest.scenes if entry.split in splits)


@dataclass(frozen=True, kw_only=True)
class EvaluationTask:
    """Options for predicting the scenes of a split, and the folders of the predictions.

    Args:
        model: The model.
        options: Split of a scene into forward passes.
        passes: TTA passes.
        folders: Folders of the predictions: of all passes, and of the first pass alone if there are several.
        boundary: Width of boundaries in meters; 0 for no boundary IoU.
    """

    model: LoadedModel
    options: PointOptions
    passes: tuple[TTAPass, ...]
    folders: tuple[Path, ...]
    boundary: float

    def files(self, entry: SceneEntry) -> list[Path]:
        """Return the prediction files of a scene, one per folder."""
        return [folder / entry.split / f"{entry.name}.npz" for folder in self.folders]


def count_scenes(
    task: EvaluationTask, root: Path, entries: Sequence[SceneEntry], *, progress_bar: bool
) -> tuple[RoomMatrices, ConfusionMatrix | None, BoundaryCounts | None]:
    """Count all scenes. Predictions are read from the folders of the task, or computed and stored there.

    Returns:
        Confusion matrix of every scene, that of the first TTA pass alone if there are several, and boundary counts.
    """
    scenes = [
        open_scene(root, entry, task.model) for entry in entries
    ]  # all at once, so that errors come early
    for folder in task.folders:
        make_folder(folder)
    missing = [not all(file.exists() for file in task.files(entry)) for entry in entries]
    matrices: list[list[ConfusionMatrix]] = []
    boundary: BoundaryCounts | None = None
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress_bar) as progress:
        total = sum(scene.num_points for scene, todo in zip(scenes, missing) if todo)
        bar = progress.add_task("", total=total)
        for number, (entry, scene) in enumerate(zip(entries, scenes)):
            name = f"{entry.split}/{entry.name}"
            progress.update(bar, description=f"{name} ({number + 1} of {len(entries)})")
            files = task.files(entry)
            if missing[number]:
                before = progress.tasks[bar].completed
                predict_and_store(
                    task, scene, files, name=name,
                    on_progress=lambda share, before=before, scene=scene: progress.update(
                        bar, completed=before + share * scene.num_points
                    ),
                )  # fmt: skip
            confusions, near = count_scene(task, scene, [read_prediction(file).label for file in files])
            matrices.append(confusions)
            boundary = near if boundary is None or near is None else boundary + near
    names = tuple(f"{entry.split}/{entry.name}" for entry in entries)
    rooms = RoomMatrices(names=names, counts=torch.stack([each[0].counts for each in matrices]))
    several = len(task.folders) > 1
    return rooms, sum((each[1] for each in matrices[1:]), matrices[0][1]) if several else None, boundary


def count_scene(
    task: EvaluationTask, scene: Scene, predictions: Sequence[np.ndarray]
) -> tuple[list[ConfusionMatrix], BoundaryCounts | None]:
    """Return the confusion matrix of each of ``predictions``, and the boundary counts of the first one."""
    label, num_classes = np.array(scene.label), task.model.schema.num_classes
    matrices = []
    for prediction in predictions:
        matrix = ConfusionMatrix(num_classes)
        matrix.update(torch.from_numpy(prediction), torch.from_numpy(label))
        matrices.append(matrix)
    if not task.boundary:
        return matrices, None
    near = boundary_counts(scene.pos, predictions[0], label, num_classes=num_classes, width=task.boundary)
    return matrices, near


def open_scene(root: Path, entry: SceneEntry, model: LoadedModel) -> Scene:
    """Open a scene; raise :class:`UserError` unless it has the classes of the model and the size in the manifest."""
    scene = read_scene(root / entry.path)
    model.schema.require_same(scene.schema, this=str(model.path), that=str(scene.path))
    if scene.num_points != entry.num_points:
        raise UserError(
            f"{scene.path}: has {scene.num_points} points, but the manifest lists {entry.num_points}. Prepare the "
            "data again."
        )
    return scene


def predict_and_store(
    task: EvaluationTask,
    scene: Scene,
    files: Sequence[Path],
    *,
    name: str,
    on_progress: Callable[[float], None],
) -> None:
    """Predict a scene and write ``files``: the mean of all TTA passes, then the first pass alone."""
    check_scene(scene)
    model = task.model
    prediction = predict_scene(
        model.network,
        load_sample(scene, name=name),
        grid_size=model.grid_size,
        features=model.features,
        options=task.options,
        passes=task.passes,
        on_progress=on_progress,
    )
    for file, part in zip(files, (prediction, prediction.first)):
        assert part is not None, "several files for a single pass"
        saved = SavedPrediction(
            label=part.label,
            confidence=part.confidence,
            schema=model.schema,
            source=name,
            checkpoint=model.hash,
        )
        write_prediction(file, saved)
