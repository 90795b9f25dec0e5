"""PASCAL-Context: 59 classes, or 60 with the background, from converted labels or the 459-class originals."""

from pathlib import Path

import numpy as np

from pcseg.data.images.reader import (
    ImageReader,
    Picture,
    apply_table,
    palette_colors,
    read_names,
    table_of,
)
from pcseg.data.images.voc import listed_pictures, read_mat
from pcseg.labels import LabelSchema

NAMES = (
    "background", "aeroplane", "bag", "bed", "bedclothes", "bench", "bicycle", "bird", "boat", "book", "bottle",
    "building", "bus", "cabinet", "car", "cat", "ceiling", "chair", "cloth", "computer", "cow", "cup", "curtain", "dog",
    "door", "fence", "floor", "flower", "food", "grass", "ground", "horse", "keyboard", "light", "motorbike",
    "mountain", "mouse", "person", "plate", "platform", "pottedplant", "road", "rock", "sheep", "shelves", "sidewalk",
    "sign", "sky", "snow", "sofa", "table", "track", "train", "tree", "truck", "tvmonitor", "wall", "water", "window",
    "wood",
)  # fmt: skip

ORIGINAL_IDS = (
    0, 2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144, 158, 159,
    162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355, 360, 366, 368, 397,
    415, 416, 420, 424, 427, 440, 445, 454, 458,
)  # fmt: skip
"""Ids of :data:`NAMES` among the 459 categories, as in PyTorch-Encoding; all others are background."""

CATEGORIES = 459

CONVERTED = ("SegmentationClassContext", "Context")
"""Folders of labels 0..59 as written by mmsegmentation and PaddleSeg."""

ORIGINALS = "trainval"
"""Folder of the original .mat files."""


class PascalContext(ImageReader):
    """Read ``VOCdevkit/VOC2010`` with the labels of PASCAL-Context: 59 classes, background is ignored.

    Convention:
        Published results on 59 and on 60 classes differ by several points, so they are separate data sets.
    """

    dataset = "PASCAL-Context (59 classes)"
    layout = (
        "JPEGImages, SegmentationClassContext/*.png or the original trainval/*.mat, and "
        "ImageSets/SegmentationContext/{train,val}.txt (VOCdevkit/VOC2010)"
    )
    background = False
    schema = LabelSchema(name="pascal_context_59", names=NAMES[1:], colors=palette_colors(60)[1:])

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        first = 0 if self.background else 1
        labels = {raw: raw - first for raw in range(first, 60)}
        self.table = table_of(labels, ignored=() if self.background else (0,))
        originals = np.full(CATEGORIES + 1, self.table[0], np.int16)
        originals[list(ORIGINAL_IDS)] = self.table[np.arange(60)]
        self.originals = originals

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in ("train", "val") if self._list(split) is not None)

    def find(self, split: str) -> list[Picture]:
        return listed_pictures(self, split, read_names(self._list(split) or Path()), self._labels)

    def read_label(self, path: Path) -> np.ndarray:
        if path.suffix == ".mat":
            return apply_table(self.originals, read_mat(path, "LabelMap"), source=path, dataset=self.dataset)
        return super().read_label(path)

    def _labels(self, name: str) -> list[Path]:
        """Return possible label files: converted ones, then the originals in the folder or beside it."""
        converted = [self.root / folder / f"{name}.png" for folder in CONVERTED]
        return converted + [folder / ORIGINALS / f"{name}.mat" for folder in (self.root, self.root.parent)]

    def _list(self, split: str) -> Path | None:
        files = [
            self.root / "ImageSets" / "SegmentationContext" / f"{split}.txt",
            self.root / "ImageSets" / "Segmentation" / f"{split}_context.txt",
            self.root / f"{split}_context.txt",
        ]
        return next((file for file in files if file.is_file()), None)


class PascalContext60(PascalContext):
    """Read PASCAL-Context with background as a class."""

    dataset = "PASCAL-Context (60 classes)"
    background = True
    schema = LabelSchema(name="pascal_context_60", names=NAMES, colors=palette_colors(60))
