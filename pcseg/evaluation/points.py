"""Evaluate point models: predict every original point of a split, store the predictions, and count."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from pcseg.checkpoint import LoadedModel
from pcseg.data.manifest import Manifest, SceneEntry, verified_scene
from pcseg.data.predictions import SavedPrediction, read_prediction, write_prediction
from pcseg.data.sample import load_sample
from pcseg.data.scenes import Scene, check_scene
from pcseg.data.schemas import benchmark_of
from pcseg.errors import UserError
from pcseg.evaluation.baselines import require_sklearn, score_baselines
from pcseg.evaluation.provenance import default_protocol, provenance_record, training_argument
from pcseg.evaluation.report import Report
from pcseg.files import make_folder
from pcseg.inference.clouds import predict_sample
from pcseg.inference.points import PointOptions
from pcseg.inference.tta import SINGLE_PASS, TTA_PASSES, EvaluationProtocol, TTAPass
from pcseg.metrics.boundary import boundary_counts
from pcseg.metrics.confusion import ConfusionMatrix, confusion


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
    splits = list(training_argument(model, "test_splits", option="--splits") if splits is None else splits)
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
    folders = [out / "predictions" / model.hash / record["predictions"] for record in records]
    for entry in entries:  # all of them first, so that errors come early
        open_scene(root, entry, model)
    num_classes, counts, near = model.schema.num_classes, [], None
    for scene, labels in predicted_scenes(model, root, entries, folders, options, passes, progress_bar):
        pairs = [(torch.from_numpy(label), torch.from_numpy(np.array(scene.label))) for label in labels]
        counts.append(torch.stack([confusion(*pair, num_classes) for pair in pairs]))
        if boundary:
            found = boundary_counts(
                scene.pos, labels[0], scene.label, num_classes=num_classes, width=boundary
            )
            near = found if near is None else near + found
    rooms = torch.stack(counts)  # (rooms, all passes and the first alone, K, K + 1)
    return Report(
        provenance=records[0],
        names=model.schema.names,
        matrix=ConfusionMatrix(num_classes, rooms[:, 0].sum(0)),
        baselines=score_baselines(root, others, entries, model.schema.names) if baselines else {},
        single_pass=ConfusionMatrix(num_classes, rooms[:, 1].sum(0)) if len(folders) > 1 else None,
        boundary=near,
        rooms=rooms[:, 0],
        ids=benchmark.ids if benchmark else None,
    )


def entries_in(manifest: Manifest, splits: Sequence[str], *, root: Path) -> tuple[SceneEntry, ...]:
    """Return the scenes of ``splits``; raise :class:`UserError` for an unknown split."""
    for split in splits:
        if split not in manifest.splits:
            raise UserError(f"{root}: no area or split {split!r}. Choose from {', '.join(manifest.splits)}.")
    return tuple(entry for entry in manifest.scenes if entry.split in splits)


def open_scene(root: Path, entry: SceneEntry, model: LoadedModel) -> Scene:
    """Open a scene and compare it with the manifest; raise :class:`UserError` unless it has the model's classes."""
    scene = verified_scene(root, entry)
    model.schema.require_same(scene.schema, this=str(model.path), that=str(scene.path))
    return scene


def predicted_scenes(
    model: LoadedModel,
    root: Path,
    entries: Sequence[SceneEntry],
    folders: Sequence[Path],
    options: PointOptions,
    passes: Sequence[TTAPass],
    progress_bar: bool,
) -> Iterator[tuple[Scene, list[np.ndarray]]]:
    """Yield every scene and its predicted labels, one array per folder; store those that are not stored yet."""
    for folder in folders:
        make_folder(folder)
    with Progress(console=Console(stderr=True), disable=not progress_bar) as progress:
        bar = progress.add_task("", total=len(entries))
        for number, entry in enumerate(entries):
            scene, name = open_scene(root, entry, model), f"{entry.split}/{entry.name}"
            progress.update(
                bar, completed=number, description=escape(f"{name} ({number + 1} of {len(entries)})")
            )
            files = [folder / f"{name}.npz" for folder in folders]
            try:
                if not all(is_stored(file, scene, name, model) for file in files):
                    predict_and_store(
                        model, scene, files, name=name, options=options, passes=passes,
                        on_progress=lambda share, done=number: progress.update(bar, completed=done + share),
                    )  # fmt: skip
            except KeyboardInterrupt:
                raise KeyboardInterrupt(
                    "finished scenes are stored; run the command again to resume"
                ) from None
            yield scene, [read_prediction(file).label for file in files]


def is_stored(file: Path, scene: Scene, name: str, model: LoadedModel) -> bool:
    """Return whether a file holds the prediction of a model for a scene; damaged files do not."""
    try:
        saved = read_prediction(file)
    except UserError:
        return False
    return (saved.source, saved.checkpoint, len(saved.label)) == (name, model.hash, scene.num_points)


def predict_and_store(
    model: LoadedModel,
    scene: Scene,
    files: Sequence[Path],
    *,
    name: str,
    options: PointOptions,
    passes: Sequence[TTAPass],
    on_progress: Callable[[float], None],
) -> None:
    """Predict a scene and write the mean of all TTA passes, then, if there are several ``files``, the first pass."""
    check_scene(scene)
    sample = load_sample(scene, name=name)
    prediction = predict_sample(model, sample, options=options, passes=passes, on_progress=on_progress)
    for file, part in zip(files, (prediction, prediction.first)):
        assert part is not None, "several files for a single pass"
        saved = SavedPrediction(
            label=part.label, confidence=part.confidence, schema=model.schema, source=name, checkpoint=model.hash
        )  # fmt: skip
        write_prediction(file, saved)
