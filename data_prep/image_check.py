"""Check an image data set before training: missing, damaged and mismatched files."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from pcseg.data.images.reader import ImageReader, Picture
from pcseg.errors import UserError

EXPECTED = {
    ("ADE20K", "training"): 20_210,
    ("ADE20K", "validation"): 2_000,
    ("Cityscapes", "train"): 2_975,
    ("Cityscapes", "val"): 500,
    ("Cityscapes", "test"): 1_525,
    ("PASCAL VOC 2012", "train"): 1_464,
    ("PASCAL VOC 2012", "val"): 1_449,
    ("PASCAL VOC 2012", "trainval"): 2_913,
    ("PASCAL VOC 2012", "test"): 1_456,
    ("PASCAL VOC 2012", "train_aug"): 10_582,
    ("PASCAL-Context (59 classes)", "train"): 4_998,
    ("PASCAL-Context (59 classes)", "val"): 5_105,
    ("PASCAL-Context (60 classes)", "train"): 4_998,
    ("PASCAL-Context (60 classes)", "val"): 5_105,
}
"""Number of images of the complete releases; converted PASCAL-Context may lack 2 images of train and 1 of val."""


@dataclass(frozen=True, kw_only=True)
class SplitCheck:
    """A split: its images, those that were read, a line per unusable image, and properties that are unusual."""

    images: int
    read: int
    problems: list[str]
    remarks: list[str]


def check_split(reader: ImageReader, split: str, *, limit: int | None = None, workers: int = 1) -> SplitCheck:
    """Read the images of a split, or ``limit`` of them evenly spread, and report problems.

    Raises:
        UserError: The split is unknown or empty.
    """
    pictures = reader.pictures(split)
    step = 1 if limit is None else -(-len(pictures) // max(limit, 1))
    chosen = pictures[::step]
    pixels = np.zeros(reader.schema.num_classes, np.int64)
    problems = []
    for result in _check_all(reader, chosen, workers):
        if isinstance(result, str):
            problems.append(result)
        else:
            pixels += result
    remarks = _remarks(reader, split, len(pictures), pixels, whole=step == 1)
    return SplitCheck(images=len(pictures), read=len(chosen), problems=problems, remarks=remarks)


def check_image(reader: ImageReader, picture: Picture) -> np.ndarray | str:
    """Return the labeled pixels per class of an image, or the reason why it cannot be used."""
    try:
        _, label = reader.read(picture)
    except UserError as error:
        return str(error)
    return np.bincount(label[label >= 0], minlength=reader.schema.num_classes)


def _check_all(reader: ImageReader, pictures: Sequence[Picture], workers: int) -> Iterable[np.ndarray | str]:
    work = partial(check_image, reader)
    if workers == 1:
        yield from map(work, pictures)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(work, pictures, chunksize=8)


def _remarks(reader: ImageReader, split: str, images: int, pixels: np.ndarray, *, whole: bool) -> list[str]:
    remarks = reader.remarks(split)
    expected = EXPECTED.get((reader.dataset, split))
    if expected is not None and images != expected:
        remarks.append(f"{split}: {images:,} images; the complete release has {expected:,}")
    absent = [name for name, count in zip(reader.schema.names, pixels) if not count]
    if not pixels.any():
        remarks.append(
            f"{split}: no labeled pixels. It can be predicted, but not used for training or scoring."
        )
    elif absent and whole:
        more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
        remarks.append(f"{split}: no pixels of {', '.join(absent[:8])}{more}")
    return remarks
