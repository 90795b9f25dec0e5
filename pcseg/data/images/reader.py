"""The contract of a reader of an image data set, and how files of images and labels are read."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pcseg.data.worker_errors import note_file
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX, LabelSchema

UNKNOWN = -2
"""In a table of labels: a value that files of this data set do not hold."""

INDEX_MODES = {"L", "P", "1", "I", "I;16", "I;16B"}
"""Kinds of picture files with one number a pixel; P is a palette, whose indices are read, not its colours."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One labelled image.

    Args:
        name: Unique in its split.
        split: Such as ``train`` or ``Area_1``.
        group: What is kept together when images are held out: the scene of a frame, else the image itself.
        image: Its file.
        label: File of its labels; ``None`` where they are kept back.
    """

    name: str
    split: str
    group: str
    image: Path
    label: Path | None


class ImageReader(ABC):
    """Where the images of a data set are and what its label files mean."""

    dataset: str
    schema: LabelSchema
    table: np.ndarray
    """Label of each value of a label file, int16: a class, ``IGNORE_INDEX``, or :data:`UNKNOWN`."""

    train_splits: Sequence[str] = ("train",)
    """Splits that are trained on unless others are named."""

    test_splits: Sequence[str] = ("val",)
    """Splits that are kept for the test: the published numbers are of the validation split."""

    base_size: int | None = None
    """Length of the longer edge at factor 1 unless another is given: that of labels that are smaller than colours."""

    layout: str
    """What the folder holds, for messages."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"{root}: no such folder; {self.dataset} has {self.layout}")

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The splits that are there."""

    @abstractmethod
    def find(self, split: str) -> list[Picture]:
        """The images of one of :attr:`splits`, in a fixed order."""

    def remarks(self, split: str) -> list[str]:
        """What a check has to say about a split besides its images."""
        return []

    def pictures(self, split: str) -> list[Picture]:
        """The images of a split; :class:`UserError` if it is unknown or empty."""
        if split not in self.splits:
            known = ", ".join(self.splits) or "none at all"
            raise UserError(
                f"{self.root}: no split {split!r}; there are {known}; {self.dataset} has {self.layout}"
            )
        found = self.find(split)
        if not found:
            raise UserError(f"{self.root}: split {split!r} is empty; {self.dataset} has {self.layout}")
        return found

    def read(self, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
        """Colours ``(H, W, 3)`` uint8 and labels ``(H, W)`` int16; ignored everywhere without a label file.

        Raises:
            UserError: A missing or damaged file, labels of another size, a value that means nothing.
        """
        image = read_colors(picture.image)
        if picture.label is None:
            return image, np.full(image.shape[:2], IGNORE_INDEX, np.int16)
        label = self.read_label(picture.label)
        if label.shape != image.shape[:2]:
            image, label = self.fit(picture, image, label)
        return image, label

    def read_label(self, path: Path) -> np.ndarray:
        """Labels ``(H, W)`` int16 of a label file."""
        return apply_table(self.table, read_indices(path), source=path, dataset=self.dataset)

    def fit(self, picture: Picture, image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Image and label brought to one size, where a data set has them in two by design."""
        (height, width), (rows, columns) = image.shape[:2], label.shape
        raise UserError(
            f"{picture.label}: {columns} x {rows} labels for the {width} x {height} pixels of {picture.image}; "
            "mend or leave out the pair"
        )


def table_of(values: dict[int, int], *, size: int = 256, ignored: Sequence[int] = ()) -> np.ndarray:
    """The table with ``values[raw] = label``, ``ignored`` values, and :data:`UNKNOWN` elsewhere."""
    table = np.full(size, UNKNOWN, np.int16)
    table[list(values)] = list(values.values())
    table[list(ignored)] = IGNORE_INDEX
    return table


def apply_table(table: np.ndarray, raw: np.ndarray, *, source: Path, dataset: str) -> np.ndarray:
    """``table[raw]``; :class:`UserError` names the first pixel whose value means nothing."""
    outside = (raw < 0) | (raw >= len(table))
    label = table[np.where(outside, 0, raw)]
    wrong = outside | (label == UNKNOWN)
    if wrong.any():
        y, x = np.argwhere(wrong)[0].tolist()
        raise UserError(
            f"{source}: label {raw[y, x]} at column {x}, row {y} is out of the range of {dataset}; is it a file of "
            "another data set or conversion?"
        )
    return label


def read_colors(path: Path, *, upright: bool = False) -> np.ndarray:
    """``(H, W, 3)`` uint8 of a picture of any kind, grey ones too.

    Convention:
        Pixels are where the file has them, and so are labels of data sets. ``upright`` turns the photo of a camera
        that was held on its side, as its EXIF entry asks.
    """
    with _opened(path) as image:
        return np.asarray((ImageOps.exif_transpose(image) if upright else image).convert("RGB"))


def read_indices(path: Path) -> np.ndarray:
    """The numbers ``(H, W)`` of a label file, int32; of a palette its indices.

    Raises:
        UserError: The file has colours: somebody saved the palette's instead of its indices.
    """
    with _opened(path) as image:
        if image.mode not in INDEX_MODES:
            raise UserError(
                f"{path}: holds colours ({image.mode}), not one label a pixel; a palette was turned into colours: "
                "take the original file"
            )
        return np.asarray(image).astype(np.int32)


def _opened(path: Path) -> Image.Image:
    """A picture whose pixels are read: damaged files are told here."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; check data.root and unpack the data set completely")
    try:
        note_file(path)
        image = Image.open(path)
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a picture ({error}); unpack it again") from error
    return image


def read_names(path: Path) -> list[str]:
    """First words of the lines of a split list."""
    if not path.is_file():
        raise UserError(f"{path}: no such split list; unpack the data set completely")
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]


def palette_colors(number: int) -> tuple[tuple[int, int, int], ...]:
    """Colours by the bit rule of PASCAL VOC: bits 0, 3, 6 ... of a label are red, 1, 4, 7 ... green, the rest blue."""
    colors = []
    for label in range(number):
        color = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                color[channel] |= (label >> (3 * bit + channel) & 1) << (7 - bit)
        colors.append((color[0], color[1], color[2]))
    return tuple(colors)
