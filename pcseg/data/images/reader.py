"""Base class of readers of image data sets."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.data.images.files import read_colors, read_indices
from pcseg.errors import UserError
from pcseg.files import read_lines
from pcseg.labels import IGNORE_INDEX, LabelSchema

UNKNOWN = -2
"""Entry of a label table for a value that does not occur in the data set."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file and its label file, ``None`` if labels are not public; ``name`` is unique in its split.

    Images of one ``group`` are held out together: the scene of a frame, otherwise the image itself.
    """

    name: str
    split: str
    group: str
    image: Path
    label: Path | None


class ImageReader(ABC):
    """Finds the images of a data set and reads its label files."""

    dataset: str
    schema: LabelSchema
    table: np.ndarray
    """Label of each value in a label file, int16: a class, ``IGNORE_INDEX`` or :data:`UNKNOWN`."""

    train_splits: Sequence[str] = ("train",)
    """Default training splits."""

    test_splits: Sequence[str] = ("val",)
    """Default test splits: published results are those of the validation split."""

    base_size: int | None = None
    """Default length of the longer edge at factor 1, for labels that are smaller than their images."""

    layout: str
    """Expected content of the folder, for messages."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"{root}: not a directory. {self.dataset} has {self.layout}.")

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Splits found in the folder."""

    @abstractmethod
    def find(self, split: str) -> list[Picture]:
        """Return the images of one of :attr:`splits` in a fixed order."""

    def remarks(self, split: str) -> list[str]:
        """Return remarks of a check on a split as a whole."""
        return []

    def pictures(self, split: str) -> list[Picture]:
        """Return the images of a split; raise :class:`UserError` if it is unknown or empty."""
        if split not in self.splits:
            known = ", ".join(self.splits) or "none"
            raise UserError(
                f"{self.root}: no split {split!r}, found: {known}. {self.dataset} has {self.layout}."
            )
        found = [picture for picture in self.find(split) if not is_overlay(picture.image)]
        if not found:
            raise UserError(f"{self.root}: split {split!r} is empty. {self.dataset} has {self.layout}.")
        return found

    def space(self, group: str) -> str:
        """Return the name of the space that a group of images shows; all groups of a space are held out together."""
        return group

    def read(self, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
        """Return colors ``(H, W, 3)`` uint8 and labels ``(H, W)`` int16, all ignored without a label file.

        Raises:
            UserError: A missing or damaged file, labels of another size, an unknown value.
        """
        image = read_colors(picture.image)
        if picture.label is None:
            return image, np.full(image.shape[:2], IGNORE_INDEX, np.int16)
        label = self.read_label(picture.label)
        if label.shape == image.shape[1::-1] != image.shape[:2]:  # labels may be those of the photo upright
            image = read_colors(picture.image, upright=True)
        if label.shape != image.shape[:2]:
            image, label = self.fit(picture, image, label)
        return image, label

    def read_label(self, path: Path) -> np.ndarray:
        """Return the labels ``(H, W)`` int16 of a label file."""
        return apply_table(self.table, read_indices(path), source=path, dataset=self.dataset)

    def fit(self, picture: Picture, image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Resize image and label to one size, for data sets whose sizes differ by design."""
        (height, width), (rows, columns) = image.shape[:2], label.shape
        raise UserError(
            f"{picture.label}: {columns} x {rows} labels for the {width} x {height} pixels of {picture.image}. "
            "Fix or remove the pair."
        )


def is_overlay(image: Path) -> bool:
    """Return whether ``pcseg predict`` wrote an image: an overlay beside the classes."""
    name, overlay, _ = image.stem.rpartition("_overlay")
    return bool(overlay) and image.with_name(f"{name}.png").is_file()


def table_of(values: Sequence[int], *, ignored: Collection[int] = ()) -> np.ndarray:
    """Return a table of 256 entries with label k at ``values[k]``, ``ignored`` values, :data:`UNKNOWN` elsewhere."""
    table = np.full(256, UNKNOWN, np.int16)
    table[list(ignored)] = IGNORE_INDEX
    table[list(values)] = range(len(values))
    return table


def apply_table(table: np.ndarray, raw: np.ndarray, *, source: Path, dataset: str) -> np.ndarray:
    """Return ``table[raw]``; raise :class:`UserError` for the first pixel with an unknown value."""
    outside = (raw < 0) | (raw >= len(table))
    label = table[np.where(outside, 0, raw)]
    wrong = outside | (label == UNKNOWN)
    if wrong.any():
        y, x = np.argwhere(wrong)[0].tolist()
        raise UserError(
            f"{source}: label {raw[y, x]} at column {x}, row {y} is out of the range of {dataset}. Use the label "
            "files of this data set."
        )
    return label


def read_names(path: Path) -> list[str]:
    """Return the first word of every line of a split list."""
    if not path.is_file():
        raise UserError(f"{path}: no such split list. Unpack the data set completely.")
    return [line.split()[0] for line in read_lines(path)]
