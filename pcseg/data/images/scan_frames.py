"""Frames of scans: ``scannet_frames_25k`` of ScanNet, and frames of generated rooms by ``data_prep.frames``."""

import json
from pathlib import Path

import numpy as np

from pcseg.data.images.augment import resize_colors
from pcseg.data.images.reader import ImageReader, Picture, read_names, table_of
from pcseg.data.schemas import SCANNET20, SCANNET20_BENCHMARK
from pcseg.errors import UserError
from pcseg.labels import LabelSchema

NOTE = "frames.json"
"""Schema and settings, written by ``data_prep.frames``."""


def frames_in(scene: Path, *, split: str) -> list[Picture]:
    """Return the frames of a scene in order; test frames without public labels have no label file."""
    pictures, group = [], scene.name
    for image in sorted(scene.glob("color/*.jpg")):
        label = scene / "label" / f"{image.stem}.png"
        label = None if split == "test" and not label.is_file() else label
        name = f"{group}/{image.stem}"
        pictures.append(Picture(name=name, split=split, group=group, image=image, label=label))
    return pictures


def labeled_frame(image: Path, schema: LabelSchema) -> tuple[np.ndarray, np.ndarray] | None:
    """Return colors ``(H, W, 3)`` and true classes ``(H, W)`` of the frame ``<scene>/color/<name>.jpg``.

    ``None`` stands for an image outside of the folders of :class:`RoomFrames` and :class:`ScanNetFrames`, and for a
    frame with other classes or without labels.

    Raises:
        UserError: A damaged file.
    """
    scene = image.resolve().parent.parent
    label = scene / "label" / f"{image.stem}.png"
    if image.resolve().parent.name != "color" or not label.is_file():
        return None
    root = scene.parent.parent
    reader = RoomFrames(root) if (root / NOTE).is_file() else ScanNetFrames(scene.parent)
    if reader.schema.names != schema.names:
        return None
    return reader.read(Picture(name=image.stem, split="", group=scene.name, image=image, label=label))


class RoomFrames(ImageReader):
    """Read frames of generated rooms: <area>/<room>/color, label, depth, pose; areas are splits.

    Convention:
        Label files hold 0 for unlabeled and 1..K for the classes of the schema in ``frames.json``.
    """

    dataset = "room frames"
    layout = "frames.json and <area>/<room>/color/*.jpg, made by python -m data_prep.frames"
    test_splits = ("Area_5",)

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        note = self.root / NOTE
        if not note.is_file():
            raise UserError(f"{note}: no such file. {self.dataset} has {self.layout}.")
        try:
            schema = json.dumps(json.loads(note.read_text())["schema"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{note}: damaged ({error!r}). Make the frames again.") from error
        self.schema = LabelSchema.from_json(schema, source=str(note))
        self.table = table_of(range(1, self.schema.num_classes + 1), ignored={0})

    @property
    def splits(self) -> tuple[str, ...]:
        areas = {color.parent.parent for color in self.root.glob("[!.]*/*/color") if color.is_dir()}
        return tuple(sorted(area.name for area in areas))

    @property
    def train_splits(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(split for split in self.splits if split not in self.test_splits)

    def find(self, split: str) -> list[Picture]:
        rooms = [color.parent for color in sorted((self.root / split).glob("[!.]*/color"))]
        return [picture for room in rooms for picture in frames_in(room, split=split)]


class ScanNetFrames(ImageReader):
    """Read frames of ScanNet: <scene>/color/*.jpg and label/*.png, with the lists of scenes beside them or above.

    Convention:
        Label files hold nyu40 ids; all but the 20 of the benchmark are ignored. Images are larger than labels and
        are resized to them. The labels of the test split are not public.
    """

    dataset = "ScanNet frames"
    layout = "<scene>/color/*.jpg, <scene>/label/*.png, scannetv2_train.txt and scannetv2_val.txt"
    schema = SCANNET20
    table = SCANNET20_BENCHMARK.to_labels(np.arange(41))
    base_size = 640

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in ("train", "val", "test") if self._list(split) is not None)

    def find(self, split: str) -> list[Picture]:
        scenes = [self.root / scene for scene in self._scenes(split)]
        return [picture for scene in scenes for picture in frames_in(scene, split=split)]

    def space(self, group: str) -> str:
        return group.partition("_")[0]  # of scene<space>_<visit>

    def remarks(self, split: str) -> list[str]:
        scenes, found = self._scenes(split), {picture.group for picture in self.find(split)}
        absent = [scene for scene in scenes if scene not in found]
        number = f"{len(absent):,} of the {len(scenes):,} scenes in scannetv2_{split}.txt"
        return [f"{split}: no frames of {number}, such as {absent[0]}"] if absent else []

    def _scenes(self, split: str) -> list[str]:
        return read_names(self._list(split) or Path())

    def fit(self, picture: Picture, image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        (height, width), (rows, columns) = image.shape[:2], label.shape
        # color and depth cameras have nearly the same aspect ratio: 1296 x 968 and 640 x 480
        if abs(height * columns - width * rows) > 0.02 * height * columns:
            return super().fit(picture, image, label)
        return resize_colors(image, (rows, columns)), label

    def _list(self, split: str) -> Path | None:
        for folder in (self.root, self.root.parent):
            path = folder / f"scannetv2_{split}.txt"
            if path.is_file():
                return path
        return None
