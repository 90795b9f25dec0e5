"""Evaluation of image models: every pixel of a split, sliding windows, several scales, scores with their protocol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from pcseg import __version__
from pcseg.checkpoint import load_checkpoint
from pcseg.data.images.reader import ImageReader, Picture
from pcseg.data.images.readers import READERS
from pcseg.errors import UserError
from pcseg.evaluation.baselines import most_frequent_class
from pcseg.evaluation.provenance import data_arguments, origin_stamp, trained_on
from pcseg.evaluation.report import Report
from pcseg.files import make_folder
from pcseg.inference.images import ImageModel, Windows, image_model
from pcseg.inference.points import choose_device
from pcseg.metrics.confusion import ConfusionMatrix


def evaluate_images(
    *,
    ckpt: Path,
    out: Path,
    root: Path | None = None,
    splits: list[str] | str | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    overlap: float = 1 / 3,
    batch_size: int = 4,
    most: int | None = None,
    device: str = "auto",
    progress_bar: bool = True,
) -> Report:
    """Score an image model on all labelled pixels of a split.

    Writes ``out/results.json`` and ``out/results.md``.

    Args:
        ckpt: Checkpoint written by training on images.
        out: Folder of the results.
        root: Folder of the data set; without a value, the one that the model was trained on.
        splits: One split, or a list; without a value, those that training kept for the test.
        scales: Factors on the size of an image whose probabilities are averaged, such as "[0.75, 1, 1.25]".
        flip: Average with the mirror image too.
        overlap: Share of a window that the next one shows again.
        batch_size: Windows in a pass.
        most: Score that many images, evenly spread, instead of all.
        device: Where the model runs: ``auto``, ``cpu``, ``cuda`` or one of several GPUs such as ``cuda:1``.
        progress_bar: Show progress and time left.

    Raises:
        UserError: A checkpoint that was not trained on images, a folder or file that is missing or damaged, an
            unknown split, a split without labels.
    """
    model = image_model(load_checkpoint(ckpt))
    loaded = model.loaded
    windows = model.windows(scales=scales, flip=flip, overlap=overlap, batch_size=batch_size)
    root = root or Path(trained_on(loaded, "root", option="--root"))
    reader = READERS[trained_on(loaded, "dataset", option="a checkpoint trained on ImageData")](root)
    loaded.schema.require_same(reader.schema, this=str(ckpt), that=str(root))
    chosen = splits or data_arguments(loaded).get("test_splits") or reader.test_splits
    splits = [chosen] if isinstance(chosen, str) else list(chosen)
    pictures = labeled_pictures(reader, splits)
    if most is not None:
        pictures = pictures[:: -(-len(pictures) // max(most, 1))]
    loaded.network.to(choose_device(device))
    make_folder(out)
    matrix = score_pictures(model, reader, pictures, windows, progress_bar=progress_bar)
    if not matrix.labeled.any():
        raise UserError(
            f"{root}: no pixel of {', '.join(splits)} has a label to score; use scripts/predict.py"
        )
    name = loaded.schema.names[int(matrix.labeled.argmax())]
    counts = matrix.labeled.tolist()
    report = Report(
        protocol=image_protocol(model, reader, pictures, splits, windows, pixels=int(matrix.labeled.sum())),
        names=loaded.schema.names,
        matrix=matrix,
        baselines={f"{name} everywhere (most frequent class here)": most_frequent_class(counts, counts)},
    )
    report.write(out)
    return report


def labeled_pictures(reader: ImageReader, splits: Sequence[str]) -> list[Picture]:
    """The images of ``splits`` that have label files; :class:`UserError` if there are none."""
    found = [picture for split in splits for picture in reader.pictures(split) if picture.label is not None]
    if not found:
        raise UserError(
            f"{reader.root}: the labels of {', '.join(splits)} are kept back, so nothing can be scored; use "
            "scripts/predict.py"
        )
    return found


def score_pictures(
    model: ImageModel,
    reader: ImageReader,
    pictures: Sequence[Picture],
    windows: Windows,
    *,
    progress_bar: bool,
) -> ConfusionMatrix:
    """Confusion matrix of all labelled pixels, at the size of the labels."""
    matrix = ConfusionMatrix(model.loaded.schema.num_classes)
    console = Console(stderr=True)
    for picture in track(pictures, "Predicting", console=console, disable=not progress_bar):
        image, label = reader.read(picture)
        scores = model.probabilities(image, windows, name=str(picture.image))
        matrix.update(scores.argmax(0).flatten(), torch.from_numpy(label.astype("int64")).flatten())
    return matrix


def image_protocol(
    model: ImageModel,
    reader: ImageReader,
    pictures: Sequence[Picture],
    splits: Sequence[str],
    windows: Windows,
    *,
    pixels: int,
) -> dict[str, Any]:
    """Everything that the scores depend on."""
    loaded = model.loaded
    return {
        "dataset": reader.dataset,
        "release": "as found in the folder",
        "splits": sorted(splits),
        "kept_from_training": kept_from_training(model, reader, splits),
        "scenes": len({(picture.split, picture.group) for picture in pictures}),
        "images": len(pictures),
        "points": pixels,
        "window": list(windows.crop_size),
        "scales": list(windows.scales),
        "flip": windows.flip,
        "base_size": windows.base_size,
        "overlap": round(windows.overlap, 4),
        "averaged": "softmax probabilities, resized to the size of the labels",
        "pcseg": __version__,
        "checkpoint": loaded.hash,
        "checkpoint_version": loaded.card.version,
        "seed": loaded.card.seed,
        **origin_stamp(loaded.card),
        "schema": loaded.schema.name,
        "classes": list(loaded.schema.names),
    }


def kept_from_training(model: ImageModel, reader: ImageReader, splits: Sequence[str]) -> bool | None:
    """Whether neither training nor the choice of the checkpoint saw ``splits``; ``None`` where it is not known."""
    arguments = data_arguments(model.loaded)
    if model.loaded.card.converted_from or "dataset" not in arguments:
        return None
    if READERS[arguments["dataset"]] is not type(reader):
        return None
    test = arguments.get("test_splits") or reader.test_splits
    return set(splits) <= set(test) - set(arguments.get("val_splits") or ())
