"""ADE20K and Cityscapes as released, and all readers by the names that configurations use."""

from typing import Literal

from pcseg.data.images.reader import ImageReader, Picture, table_of
from pcseg.data.images.scan_frames import RoomFrames, ScanNetFrames
from pcseg.data.images.voc import VOC2012, PascalContext, PascalContext60
from pcseg.data.schemas import ids_of, read_rows, schema_of

_ADE20K, _CITYSCAPES = read_rows("ade20k"), read_rows("cityscapes")


class ADE20K(ImageReader):
    """Read the release ``ADEChallengeData2016`` of the benchmark.

    Convention:
        Label files hold 0 for *other*, which is ignored, and 1..150 for the classes.
    """

    dataset = "ADE20K"
    layout = (
        "images/training/*.jpg and annotations/training/*.png, the same for validation (ADEChallengeData2016)"
    )
    schema = schema_of("ade20k", _ADE20K)
    table = table_of(ids_of(_ADE20K), ignored={0})
    train_splits = ("training",)
    test_splits = ("validation",)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(s for s in ("training", "validation") if (self.root / "images" / s).is_dir())

    def find(self, split: str) -> list[Picture]:
        labels = self.root / "annotations" / split
        return [
            Picture(name=name, split=split, group=name, image=image, label=labels / f"{name}.png")
            for image in sorted((self.root / "images" / split).glob("*.jpg"))
            for name in [image.stem]
        ]


class Cityscapes(ImageReader):
    """Read the fine annotations: ``leftImg8bit`` and ``gtFine`` as unpacked, without conversion.

    Convention:
        ``labelIds`` are read and mapped here. Other classes, such as *ego vehicle* and *license plate* (-1, stored
        as 255), are ignored. ``labelTrainIds`` are not used. The labels of the test split are not public.
    """

    dataset = "Cityscapes"
    layout = "leftImg8bit/<split>/<city>/*_leftImg8bit.png and gtFine/<split>/<city>/*_gtFine_labelIds.png"
    schema = schema_of("cityscapes", _CITYSCAPES)
    table = table_of(ids_of(_CITYSCAPES), ignored={*range(34), 255})

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(s for s in ("train", "val", "test") if (self.root / "leftImg8bit" / s).is_dir())

    def find(self, split: str) -> list[Picture]:
        pictures = []
        for image in sorted((self.root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png")):
            city = image.parent.name
            name = f"{city}/{image.name.removesuffix('_leftImg8bit.png')}"
            label = self.root / "gtFine" / split / f"{name}_gtFine_labelIds.png" if split != "test" else None
            pictures.append(Picture(name=name, split=split, group=city, image=image, label=label))
        return pictures


ImageSet = Literal[
    "room_frames", "scannet_frames", "ade20k", "pascal_context", "pascal_context_60", "voc", "cityscapes"
]
"""Names of the data sets."""

IMAGE_READERS: dict[ImageSet, type[ImageReader]] = {
    "room_frames": RoomFrames,
    "scannet_frames": ScanNetFrames,
    "ade20k": ADE20K,
    "pascal_context": PascalContext,
    "pascal_context_60": PascalContext60,
    "voc": VOC2012,
    "cityscapes": Cityscapes,
}
