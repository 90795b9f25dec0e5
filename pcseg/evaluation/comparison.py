"""Points and images on the same rooms: each model's class for every point, their average, and what frames see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from pcseg import __version__
from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.data.images.reader import read_colors
from pcseg.data.images.readers import READERS
from pcseg.data.manifest import Manifest, SceneEntry
from pcseg.data.sample import Sample, load_sample
from pcseg.data.scenes import check_scene
from pcseg.errors import UserError
from pcseg.evaluation.backprojection import CameraFrame, Carried, Sighting, carry, read_frames, sightings
from pcseg.evaluation.comparison_report import AVERAGE, ComparisonReport
from pcseg.evaluation.points import entries_in, open_scene
from pcseg.evaluation.provenance import data_arguments, trained_on
from pcseg.files import make_folder
from pcseg.inference.images import ImageModel, image_model, is_image_model, require_factors
from pcseg.inference.points import Fragments, choose_device, predict_scene
from pcseg.labels import IGNORE_INDEX
from pcseg.views.render.models import models_picture, save_picture
from pcseg.views.subject import Subject


@dataclass(frozen=True, kw_only=True)
class Options:
    """How rooms and frames are shown to the models; see :func:`compare`."""

    fragments: Fragments
    points_per_pass: int
    scales: tuple[float, ...]
    flip: bool


def compare(
    root: Path,
    frames: Path,
    *,
    plain: Path,
    images: list[Path] | Path,
    context: list[Path] | Path | None = None,
    splits: list[str] | str | None = None,
    out: Path = Path("runs/comparison"),
    fragments: Fragments = 1,
    points_per_pass: int = 400_000,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
    pictures: int = 1,
    device: str = "auto",
    progress_bar: bool = True,
) -> ComparisonReport:
    """Compare point models and image models on the points of rooms that none of them saw in training.

    Probabilities of an image model are carried from the frames of a room to the points that they show. Writes
    ``out/comparison.json``, ``out/comparison.md`` and a picture of the first rooms.

    Args:
        root: Prepared rooms.
        frames: Frames of the same rooms, made by ``python -m data_prep.frames``.
        plain: Checkpoint of a point model without a context head.
        images: Checkpoints of image models.
        context: Checkpoints of point models with context heads.
        splits: Areas to compare on; without a value, those that the plain model kept for the test.
        out: Folder of the results.
        fragments: Passes over a scene, as in evaluation; 1 is the fastest.
        points_per_pass: Largest number of voxels in a pass.
        scales: Factors on the size of a frame whose probabilities are averaged.
        flip: Average with mirror images too.
        pictures: Number of rooms to draw.
        device: Where the models run: ``auto``, ``cpu``, ``cuda`` or one of several GPUs such as ``cuda:1``.
        progress_bar: Show progress and time left.

    Raises:
        UserError: A model that saw the rooms in training, models of different classes, a room without frames, a
            checkpoint of the wrong kind.
    """
    require_factors(scales)
    models = load_models(plain, _paths(context), _paths(images), device=device)
    first = next(iter(models.values()))
    manifest = Manifest.read(root)
    chosen = splits or trained_on(first, "test_splits", option="--splits")
    splits = [chosen] if isinstance(chosen, str) else list(chosen)
    entries = entries_in(manifest, splits, root=root)
    for name, model in models.items():
        model.schema.require_same(manifest.schema, this=str(model.path), that=str(root))
        require_unseen(name, model, splits)
    require_frames(frames, entries)
    options = Options(fragments=fragments, points_per_pass=points_per_pass, scales=tuple(scales), flip=flip)
    report = ComparisonReport.empty(
        list(models), names=manifest.schema.names, protocol=_protocol(models, manifest, entries, options)
    )
    make_folder(out)
    console = Console(stderr=True)
    for number, entry in enumerate(track(entries, "Comparing", console=console, disable=not progress_bar)):
        scene = open_scene(root, entry, first)
        check_scene(scene)
        sample = load_sample(scene, name=f"{entry.split}/{entry.name}")
        labels, covered = predict_all(models, sample, frames / entry.split / entry.name, options)
        for name, label in labels.items():
            report.add(name, label, sample.label, covered)
        if number < pictures:
            pos = np.array(sample.pos)  # a mapped file cannot be written to, which the drawing minds
            subjects = [
                (name, Subject(name=entry.name, pos=pos, prediction=label, schema=scene.schema))
                for name, label in labels.items()
            ]
            truth = Subject(
                name=entry.name, pos=pos, color=sample.color, label=sample.label, schema=scene.schema
            )
            save_picture(models_picture(truth, subjects), out / f"{entry.split}_{entry.name}.png")
    report.write(out)
    return report


def load_models(
    plain: Path, context: Sequence[Path], images: Sequence[Path], *, device: str
) -> dict[str, LoadedModel]:
    """The models by the names of their columns: kind and head.

    Raises:
        UserError: A point model where one of images is wanted, or the other way round; no image model.
    """
    if not images:
        raise UserError("--images: give the checkpoint of at least one image model")
    models: dict[str, LoadedModel] = {}
    for path, wants_images in [
        *((path, False) for path in (plain, *context)),
        *((path, True) for path in images),
    ]:
        model = load_checkpoint(path)
        if is_image_model(model) != wants_images:
            kinds = ("points", "images") if wants_images else ("images", "points")
            raise UserError(f"{path}: a model of {kinds[0]} where one of {kinds[1]} is wanted")
        model.network.to(choose_device(device))
        name = f"{'2-D' if wants_images else '3-D'} {head_name(model)}"
        while name in models:
            name += "'"
        models[name] = model
    return models


def head_name(model: LoadedModel) -> str:
    """What a head is called in a table: its module."""
    head = model.config["head"]
    path = head if isinstance(head, str) else head["class_path"]
    return {"ctnet": "CTNet", "encnet": "EncNet", "ccnet": "CCNet", "fcn": "FCN"}.get(
        module := path.split(".")[-2], module
    )


def require_unseen(name: str, model: LoadedModel, splits: Sequence[str]) -> None:
    """Refuse to compare on areas that a model was trained on or chosen by."""
    arguments = data_arguments(model)
    test = arguments.get("test_splits")
    if test is None and is_image_model(model):
        test = READERS[arguments["dataset"]].test_splits
    kept = set(test or ()) - set(arguments.get("val_splits") or ())
    seen = sorted(set(splits) - kept)
    if seen:
        raise UserError(
            f"{model.path}: {name} may have seen {', '.join(seen)} in training; compare on areas that all models keep "
            "for the test (data.test_splits)"
        )


def require_frames(frames: Path, entries: Sequence[SceneEntry]) -> None:
    """Refuse to begin where a room has no frames."""
    for entry in entries:
        if not (frames / entry.split / entry.name).is_dir():
            raise UserError(
                f"{frames}: no frames of {entry.split}/{entry.name}; take them with python -m data_prep.frames"
            )


def predict_all(
    models: Mapping[str, LoadedModel], sample: Sample, frames: Path, options: Options
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Labels ``(N,)`` of every point by each model and by their average, and which points a frame sees.

    Convention:
        The average is of the probabilities of all models that say something about a point. An image model says
        nothing about points that no frame sees: they get ``IGNORE_INDEX``, which counts as a miss.
    """
    labels: dict[str, np.ndarray] = {}
    total = np.zeros((sample.num_points, next(iter(models.values())).schema.num_classes), np.float32)
    seen = list(sightings(read_frames(frames), sample.pos))  # the same for all image models
    if not seen:
        raise UserError(f"{frames}: no frame sees a point of {sample.name}; take them of these very rooms")
    views = np.zeros(sample.num_points, bool)
    for name, model in models.items():
        if is_image_model(model):
            carried = carry_model(image_model(model), seen, sample.num_points, options)
            views = carried.covered
            labels[name] = np.where(views, carried.scores.argmax(axis=1), IGNORE_INDEX)
            total += carried.scores
        else:
            prediction = predict_scene(
                model.network,
                sample,
                grid_size=model.grid_size,
                features=model.features,
                fragments=options.fragments,
                points_per_pass=options.points_per_pass,
                probabilities=True,
            )
            assert prediction.probability is not None
            labels[name] = prediction.label
            total += prediction.probability
    labels[AVERAGE] = total.argmax(axis=1)
    return labels, views


def carry_model(model: ImageModel, seen: Sequence[Sighting], num_points: int, options: Options) -> Carried:
    """Probabilities of an image model on the points that the frames of a room show."""
    windows = model.windows(scales=options.scales, flip=options.flip)

    def score(frame: CameraFrame) -> np.ndarray:
        image = read_colors(frame.color)
        return model.probabilities(image, windows, name=str(frame.color)).numpy()

    return carry(seen, score, num_points=num_points, num_classes=model.loaded.schema.num_classes)


def _paths(paths: list[Path] | Path | None) -> list[Path]:
    return [] if paths is None else [paths] if isinstance(paths, Path) else list(paths)


def _protocol(
    models: Mapping[str, LoadedModel], manifest: Manifest, entries: Sequence[SceneEntry], options: Options
) -> dict[str, Any]:
    return {
        "dataset": manifest.dataset,
        "release": manifest.release,
        "splits": sorted({entry.split for entry in entries}),
        "scenes": len(entries),
        "points": sum(entry.num_points for entry in entries),
        "manifest": manifest.hash,
        "fragments": options.fragments,
        "scales": list(options.scales),
        "flip": options.flip,
        "average": "mean of the probabilities of all models that see a point",
        "checkpoints": {name: model.hash for name, model in models.items()},
        "seeds": {name: model.card.seed for name, model in models.items()},
        "pcseg": __version__,
    }
