"""Evaluate image models: sliding windows over every image of a split, counted on all labeled pixels."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

from pcseg.checkpoint import LoadedModel
from pcseg.data.images.reader import ImageReader, Picture
from pcseg.data.images.readers import IMAGE_READERS
from pcseg.errors import UserError
from pcseg.evaluation.baselines import most_frequent_class
from pcseg.evaluation.provenance import code_record, kept_from_training, model_record, training_argument
from pcseg.evaluation.report import Report
from pcseg.inference.images import ImageOptions, image_model
from pcseg.metrics.confusion import ConfusionMatrix


def evaluate_images(
    loaded: LoadedModel,
    *,
    root: Path | None,
    splits: Sequence[str] | None,
    options: ImageOptions,
    progress_bar: bool,
) -> Report:
    """Score an image model; see :func:`pcseg.evaluation.evaluate.evaluate` for the arguments."""
    model = image_model(loaded)
    root = root or Path(training_argument(loaded, "root", option="--root"))
    image_set = training_argument(loaded, "dataset", option="a checkpoint that was trained on ImageData")
    reader = IMAGE_READERS[image_set](root)
    loaded.schema.require_same(reader.schema, this=str(loaded.path), that=str(root))
    splits = list(splits or loaded.card.data.get("test_splits") or reader.test_splits)
    pictures = labeled_pictures(reader, splits)
    matrix = ConfusionMatrix(loaded.schema.num_classes)
    console = Console(stderr=True)
    for picture in track(pictures, "Predicting", console=console, disable=not progress_bar):
        image, label = reader.read(picture)
        scores = model.probabilities(image, options, name=str(picture.image))
        matrix.update(scores.argmax(0).flatten(), torch.from_numpy(label.astype("int64")).flatten())
    if not matrix.labeled.any():
        raise UserError(f"{root}: {', '.join(splits)} has no labeled pixels. Use 'pcseg predict' instead.")
    name = loaded.schema.names[int(matrix.labeled.argmax())]
    counts = matrix.labeled.tolist()
    record = {
        "dataset": reader.dataset,
        "release": reader.dataset,
        "splits": sorted(splits),
        "kept_from_training": kept_from_training(loaded.card, splits, image_set=image_set),
        "scenes": len({(picture.split, picture.group) for picture in pictures}),
        "images": len(pictures),
        "points": int(matrix.labeled.sum()),
        "window": list(model.crop_size),
        "scales": list(options.scales),
        "flip": options.flip,
        "base_size": model.base_size,
        "overlap": round(options.overlap, 4),
        "precision": options.precision,
        "averaged": "softmax probabilities, resized to the size of the labels",
        **code_record(loaded),
        **model_record(loaded),
    }
    return Report(
        provenance=record,
        names=loaded.schema.names,
        matrix=matrix,
        baselines={f"{name} everywhere (most frequent class here)": most_frequent_class(counts, counts)},
    )


def labeled_pictures(reader: ImageReader, splits: Sequence[str]) -> list[Picture]:
    """Return the images of ``splits`` that have label files; raise :class:`UserError` if there are none."""
    found = [picture for split in splits for picture in reader.pictures(split) if picture.label is not None]
    if not found:
        raise UserError(
            f"{reader.root}: the labels of {', '.join(splits)} are not public, so it cannot be scored. Use "
            "'pcseg predict' instead."
        )
    return found
