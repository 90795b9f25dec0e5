"""Compare point models, image models and their average on the points of the same rooms."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from torch import nn

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.data.images.files import read_colors
from pcseg.data.manifest import Manifest, SceneEntry
from pcseg.data.sample import Sample, load_sample
from pcseg.data.scenes import check_scene
from pcseg.errors import UserError
from pcseg.evaluation.backprojection import (
    CameraFrame,
    PointScores,
    VisiblePoints,
    back_project,
    find_visible_points,
    read_frames,
)
from pcseg.evaluation.comparison_report import AVERAGE, ComparisonReport
from pcseg.evaluation.points import entries_in, open_scene
from pcseg.evaluation.provenance import code_hash, code_record, kept_from_training, training_argument
from pcseg.inference.clouds import predict_sample
from pcseg.inference.device import choose_device
from pcseg.inference.images import ImageModel, ImageOptions, image_model
from pcseg.inference.points import PointOptions
from pcseg.labels import IGNORE_INDEX

HEAD_NAMES = {
    "CTBody": "CTNet",
    "EncBody": "EncNet",
    "RCCABody": "CCNet",
    "SlabBody": "slab context",
    "FCNBody": "FCN",
    "CACBody": "CAC",
    "LinearHead": "linear",
}
"""Names of heads in tables by the class of the body or head."""


class Comparison:
    """Compare models on rooms that none of them saw in training, and count the results in ``report``.

    See :func:`pcseg.views.compare.compare` for the arguments; ``models`` have the names of their columns.

    Raises:
        UserError: A model may have seen the rooms in training, models have different classes, or a room has no
            frames.
    """

    def __init__(
        self,
        root: Path,
        frames: Path,
        models: dict[str, LoadedModel],
        *,
        splits: Sequence[str] | None,
        point_options: PointOptions,
        image_options: ImageOptions,
    ) -> None:
        self.root, self.frames, self.models = root, frames, models
        self.point_options, self.image_options = point_options, image_options
        first, manifest = next(iter(models.values())), Manifest.read(root)
        splits = list(splits or training_argument(first, "test_splits", option="--splits"))
        self.entries = entries_in(manifest, splits, root=root)
        for name, model in models.items():
            model.schema.require_same(manifest.schema, this=str(model.path), that=str(root))
            require_unseen(name, model, splits)
        for entry in self.entries:
            if not (frames / entry.split / entry.name).is_dir():
                raise UserError(
                    f"{frames}: no frames of {entry.split}/{entry.name}. Render them with 'pcseg prepare frames'."
                )
        record = {
            "dataset": manifest.dataset,
            "release": manifest.release,
            "splits": sorted(splits),
            "scenes": len(self.entries),
            "points": sum(entry.num_points for entry in self.entries),
            "manifest": manifest.hash,
            **asdict(point_options),
            **asdict(image_options),
            "average": "mean of the probabilities of all models that see a point",
            "checkpoints": {name: model.hash for name, model in models.items()},
            "seeds": {name: model.card.seed for name, model in models.items()},
            **code_record(first),
            "code": {name: code_hash(model) for name, model in models.items()},
        }
        self.report = ComparisonReport(list(models), names=manifest.schema.names, provenance=record)

    def rooms(self, *, progress_bar: bool) -> Iterator[tuple[SceneEntry, Sample, dict[str, np.ndarray]]]:
        """Predict and count the rooms one by one; yield each room with the labels ``(N,)`` of every column."""
        console, first = Console(stderr=True), next(iter(self.models.values()))
        for entry in track(self.entries, "Comparing", console=console, disable=not progress_bar):
            scene = open_scene(self.root, entry, first)
            check_scene(scene)
            sample = load_sample(scene, name=f"{entry.split}/{entry.name}")
            labels, covered = self.predict_room(sample, self.frames / entry.split / entry.name)
            for name, label in labels.items():
                self.report.add(name, label, sample.label, covered)
            yield entry, sample, labels

    def predict_room(self, sample: Sample, frames: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the labels ``(N,)`` of each model and of their average, and the mask of points that a frame sees.

        Convention:
            The average is over the probabilities of all models that have a prediction for a point. Image models
            have none for points that no frame sees: these get ``IGNORE_INDEX``, which counts as a miss.
        """
        labels: dict[str, np.ndarray] = {}
        total = np.zeros((sample.num_points, len(self.report.names)), np.float32)
        visible = list(find_visible_points(read_frames(frames), sample.pos))  # the same for all image models
        if not visible:
            raise UserError(
                f"{frames}: no frame sees a point of {sample.name}. Render frames of these rooms."
            )
        covered = np.zeros(sample.num_points, bool)
        for name, model in self.models.items():
            if model.kind == "images":
                scores = self.score_points(image_model(model), visible, sample.num_points)
                covered = scores.covered
                labels[name] = np.where(covered, scores.scores.argmax(axis=1), IGNORE_INDEX)
                total += scores.scores
            else:
                prediction = predict_sample(model, sample, options=self.point_options, probabilities=True)
                assert prediction.probability is not None
                labels[name] = prediction.label
                total += prediction.probability
        labels[AVERAGE] = total.argmax(axis=1)
        return labels, covered

    def score_points(
        self, model: ImageModel, visible: Sequence[VisiblePoints], num_points: int
    ) -> PointScores:
        """Return the probabilities of an image model back-projected from frames onto points."""

        def score(frame: CameraFrame) -> np.ndarray:
            colors = read_colors(frame.color)
            return model.probabilities(colors, self.image_options, name=str(frame.color)).numpy()

        return back_project(visible, score, num_points=num_points, num_classes=len(self.report.names))


def load_models(
    plain: Path, context: Sequence[Path], images: Sequence[Path], *, device: str
) -> dict[str, LoadedModel]:
    """Load the models and return them by the names of their columns: kind and head.

    Raises:
        UserError: A checkpoint is of the wrong kind, or there is no image model.
    """
    if not images:
        raise UserError("--images: no image model. Give at least one checkpoint.")
    models: dict[str, LoadedModel] = {}
    for number, path in enumerate((plain, *context, *images)):
        model, as_image = load_checkpoint(path), number > len(context)
        if as_image != (model.kind == "images"):
            found, option = ("a point", "--images") if as_image else ("an image", "--plain and --context")
            raise UserError(f"{path}: {found} model, which {option} cannot compare. Give another checkpoint.")
        model.network.to(choose_device(device))
        name = f"{'2-D' if as_image else '3-D'} {head_name(model.network.head)}"
        while name in models:
            name += "'"
        models[name] = model
    return models


def head_name(head: nn.Module) -> str:
    """Return the name of a head in a table."""
    name = type(getattr(head, "body", head)).__name__
    return HEAD_NAMES.get(name, name)


def require_unseen(name: str, model: LoadedModel, splits: Sequence[str]) -> None:
    """Raise :class:`UserError` unless training, and the trainings it was initialized from, did not see ``splits``."""
    seen = [split for split in splits if not kept_from_training(model.card, [split])]
    if seen:
        raise UserError(
            f"{model.path}: {name} may have seen {', '.join(seen)} in training. Compare on areas that all models, and "
            "the checkpoints they were initialized from, keep for testing (data.test_splits)."
        )
