"""PASCAL VOC 2012, alone or with the annotations of SBD (the *aug* training set of 10 582 images), and PASCAL-Context:
59 classes, or 60 with the background, from converted labels or the 459-class originals."""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pcseg.data.images.reader import ImageReader, Picture, apply_table, read_names, table_of
from pcseg.data.schemas import ids_of, read_rows, schema_of
from pcseg.errors import UserError

VOC_CLASSES, CONTEXT_CLASSES = read_rows("voc"), read_rows("pascal_context_60")

AUGMENTED = "train_aug"
"""Split of the training images of VOC and SBD without the validation images of VOC."""

ADDED = "aug"
"""List in mmsegmentation of the images that SBD adds to ``train``."""

LABEL_FOLDERS = ("SegmentationClass", "SegmentationClassAug")
"""Labels of VOC, which are finer, and converted labels of SBD."""

CATEGORIES = 459

CONVERTED = ("SegmentationClassContext", "Context")
"""Folders of labels 0..59 as written by mmsegmentation and PaddleSeg."""

ORIGINALS = "trainval"
"""Folder of the original .mat files."""


class VOC2012(ImageReader):
    """Read ``VOCdevkit/VOC2012`` and, for the split ``train_aug``, the ``benchmark_RELEASE`` of SBD.

    Convention:
        Label files are palette images whose *indices* are labels: 0 is the class background, 255 the border, which
        is ignored. SBD is searched in the folder and up to two levels above; its .mat files are read directly.
    """

    dataset = "PASCAL VOC 2012"
    layout = (
        "JPEGImages, SegmentationClass and ImageSets/Segmentation/{train,val}.txt (VOCdevkit/VOC2012); train_aug "
        "needs benchmark_RELEASE/dataset/cls beside it, or SegmentationClassAug and a list train_aug.txt or aug.txt"
    )
    schema = schema_of("voc", VOC_CLASSES)
    table = table_of(ids_of(VOC_CLASSES), ignored={255})

    @property
    def train_splits(self) -> tuple[str, ...]:  # type: ignore[override]
        return (AUGMENTED,) if AUGMENTED in self.splits else ("train",)

    @property
    def splits(self) -> tuple[str, ...]:
        listed = [s for s in ("train", "val", "trainval", "test") if self._list(s).is_file()]
        added = any(self._list(name).is_file() for name in (AUGMENTED, ADDED)) or self._sbd() is not None
        return (*listed, AUGMENTED) if added and "train" in listed else tuple(listed)

    def find(self, split: str) -> list[Picture]:
        names = self._augmented() if split == AUGMENTED else read_names(self._list(split))
        return listed_pictures(self, split, names, lambda name: self._labels(name, split))

    def read_label(self, path: Path) -> np.ndarray:
        if path.suffix == ".mat":
            return apply_table(
                self.table, read_mat(path, "GTcls", "Segmentation"), source=path, dataset=self.dataset
            )
        return super().read_label(path)

    def _labels(self, name: str, split: str) -> list[Path]:
        """Return possible label files, best first: in the augmented set also those of SBD."""
        if split == "test":
            return []
        own = [self.root / folder / f"{name}.png" for folder in LABEL_FOLDERS]
        if split != AUGMENTED:
            return own[:1]
        sbd = self._sbd()
        return own if sbd is None else [*own, sbd / "cls" / f"{name}.mat"]

    def _augmented(self) -> list[str]:
        """Return ``train_aug.txt``, or the training images of VOC and SBD without the validation images of VOC."""
        if self._list(AUGMENTED).is_file():
            # the list of CCNet holds paths of images and labels
            return [Path(name).stem for name in read_names(self._list(AUGMENTED))]
        names = set(read_names(self._list("train"))) | self._added()
        return sorted(names - set(read_names(self._list("val"))))

    def _added(self) -> set[str]:
        """Return the images of SBD, as listed by mmsegmentation or as released."""
        if self._list(ADDED).is_file():
            return set(read_names(self._list(ADDED)))
        sbd = self._sbd()
        assert sbd is not None
        return {name for part in ("train", "val") for name in read_names(sbd / f"{part}.txt")}

    def _list(self, split: str) -> Path:
        return self.root / "ImageSets" / "Segmentation" / f"{split}.txt"

    def _sbd(self) -> Path | None:
        for folder in (self.root, self.root.parent, self.root.parent.parent):
            path = folder / "benchmark_RELEASE" / "dataset"
            if (path / "cls").is_dir():
                return path
        return None


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
    schema = schema_of("pascal_context_59", CONTEXT_CLASSES[1:])

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        first = 0 if self.background else 1
        self.table = table_of(range(first, 60), ignored={0})
        originals = np.full(CATEGORIES + 1, self.table[0], np.int16)
        originals[list(ids_of(CONTEXT_CLASSES))] = self.table[np.arange(60)]
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
    schema = schema_of("pascal_context_60", CONTEXT_CLASSES)


def listed_pictures(
    reader: ImageReader, split: str, names: Sequence[str], labels: Callable[[str], Sequence[Path]]
) -> list[Picture]:
    """Return the images of a split list of VOC: ``JPEGImages`` and the first label file that exists.

    ``labels`` returns the possible label files of an image, best first; none if labels are not public.
    """
    pictures = []
    for name in names:
        files = labels(name)
        label = next((file for file in files if file.is_file()), files[0] if files else None)
        image = reader.root / "JPEGImages" / f"{name}.jpg"
        pictures.append(Picture(name=name, split=split, group=name, image=image, label=label))
    return pictures


def read_mat(path: Path, *fields: str) -> np.ndarray:
    """Return the matrix under ``fields`` of a MATLAB file as int32."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise UserError(f"{path}: no such file. Unpack the data set completely.")
    try:
        value = loadmat(path)[fields[0]]
        for name in fields[1:]:
            value = value[name][0, 0]
        return np.asarray(value).astype(np.int32)
    except (MatReadError, OSError, zlib.error) as error:
        raise UserError(f"{path}: not a readable MATLAB file ({error}). Unpack it again.") from error
    except (ValueError, KeyError, IndexError, TypeError, NotImplementedError) as error:
        raise UserError(
            f"{path}: does not contain {'.'.join(fields)} ({error!r}). Download it again."
        ) from error
