"""Look through a data set of images before training: what is missing, damaged or of the wrong kind."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

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
"""Images of the complete releases; converted PASCAL-Context may lack two and one."""


@dataclass(frozen=True, kw_only=True)
class SplitCheck:
    """What was found in a split.

    Args:
        split: Its name.
        images: Images in it.
        read: Images that were read.
        problems: One line for each image that cannot be used.
        remarks: What is unusual but no fault.
        pixels: Labelled pixels of every class in the images that were read, ``(K,)``.
    """

    split: str
    images: int
    read: int
    problems: list[str]
    remarks: list[str]
    pixels: np.ndarray


def check_split(reader: ImageReader, split: str, *, limit: int | None = None, workers: int = 1) -> SplitCheck:
    """Read the images of a split and say what is wrong.

    Args:
        reader: Of the data set.
        split: One of its splits.
        limit: Number of images to read, evenly spread; default: all.
        workers: Processes that read.

    Raises:
        UserError: The split is unknown or empty.
    """
    pictures = reader.pictures(split)
    step = 1 if limit is None else -(-len(pictures) // max(limit, 1))
    chosen = pictures[::step]
    pixels = np.zeros(reader.schema.num_classes, np.int64)
    problems = []
    for result in _look_at_all(reader, chosen, workers):
        if isinstance(result, str):
            problems.append(result)
        else:
            pixels += result
    return SplitCheck(
        split=split,
        images=len(pictures),
        read=len(chosen),
        problems=problems,
        remarks=_remarks(reader, split, len(pictures), pixels, whole=step == 1),
        pixels=pixels,
    )


def look_at(reader: ImageReader, picture: Picture) -> np.ndarray | str:
    """Labelled pixels of every class in an image, or the line that says why it cannot be used."""
    try:
        _, label = reader.read(picture)
    except UserError as error:
        return str(error)
    return np.bincount(label[label >= 0], minlength=reader.schema.num_classes)


def _look_at_all(
    reader: ImageReader, pictures: Sequence[Picture], workers: int
) -> Iterable[np.ndarray | str]:
    work = partial(look_at, reader)
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
        remarks.append(f"{split}: no labelled pixel; it can be predicted but neither trained on nor scored")
    elif absent and whole:
        more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
        remarks.append(f"{split}: no pixel of {', '.join(islice(absent, 8))}{more}")
    return remarks
