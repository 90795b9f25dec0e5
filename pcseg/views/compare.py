"""Compare point and image models on unseen rooms, with pictures: the command ``pcseg compare``."""

from pathlib import Path

import numpy as np

from pcseg.evaluation.comparison import Comparison, load_models
from pcseg.evaluation.comparison_report import ComparisonReport
from pcseg.files import output_folder
from pcseg.inference.images import ImageOptions
from pcseg.inference.points import Fragments, PointOptions
from pcseg.values import Count, NameList, checked
from pcseg.views.render.pages import save_image
from pcseg.views.render.pictures import models_picture
from pcseg.views.subject import Subject


@checked("--")
def compare(
    root: Path,
    frames: Path,
    *,
    plain: Path,
    images: list[Path] | Path,
    context: list[Path] | Path | None = None,
    splits: NameList | str | None = None,
    out: Path = Path("runs/comparison"),
    fragments: Fragments = 1,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
    pictures: Count = 1,
    device: str = "auto",
    progress_bar: bool = True,
) -> ComparisonReport:
    """Compare point models and image models on rooms that none of them saw in training.

    Probabilities of an image model are back-projected from the frames of a room onto its points. Writes
    ``OUT/comparison.json``, ``OUT/comparison.md`` and a picture of the first rooms.

    Args:
        root: Prepared rooms.
        frames: Frames of the same rooms, made by ``pcseg prepare frames``.
        plain: Checkpoint of a point model without a context head.
        images: Checkpoints of image models.
        context: Checkpoints of point models with context heads.
        splits: One area or split, or a list; default: the test splits of the plain model.
        out: Folder of the results.
        fragments: Number of points per voxel that the model sees; 1 is the fastest, ``all`` uses every point.
        scales: Scale factors of a frame; probabilities are averaged over them.
        flip: Also average over mirrored frames.
        pictures: Number of rooms to draw.
        device: ``auto``, ``cpu``, ``cuda``, or one of several GPUs such as ``cuda:1``.
        progress_bar: Show progress and remaining time.

    Raises:
        UserError: A model, or a checkpoint that it was initialized from, may have seen the rooms in training; models
            have different classes; a room has no frames; a checkpoint is of the wrong kind.
    """
    point_options = PointOptions(fragments=fragments)  # checked before models are loaded
    image_options = ImageOptions(scales=scales, flip=flip)
    comparison = Comparison(
        root,
        frames,
        load_models(plain, _paths(context), _paths(images), device=device),
        splits=[splits] if isinstance(splits, str) else splits,
        point_options=point_options,
        image_options=image_options,
    )
    with output_folder(out):
        for number, (entry, sample, labels) in enumerate(comparison.rooms(progress_bar=progress_bar)):
            if number < pictures:
                pos = np.array(sample.pos)  # drawing needs a writable array, not a memory map
                schema = next(iter(comparison.models.values())).schema
                room = Subject(
                    name=entry.name, pos=pos, color=sample.color, label=sample.label, schema=schema
                )
                save_image(models_picture(room, labels), out / f"{entry.split}_{entry.name}.png")
        comparison.report.write(out)
    return comparison.report


def _paths(paths: list[Path] | Path | None) -> list[Path]:
    return [] if paths is None else [paths] if isinstance(paths, Path) else list(paths)
