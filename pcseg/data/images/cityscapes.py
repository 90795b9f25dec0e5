"""Cityscapes: the 19 classes of the benchmark, from the files as released."""

from pcseg.data.images.reader import ImageReader, Picture, table_of
from pcseg.labels import LabelSchema

IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""``labelIds`` of the classes, in the order of the train ids of the benchmark."""

LAST_ID = 33

CITYSCAPES_SCHEMA = LabelSchema(
    name="cityscapes",
    names=(
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
        "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ),
    colors=(
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
        (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
        (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
)  # fmt: skip


class Cityscapes(ImageReader):
    """Read the fine annotations: ``leftImg8bit`` and ``gtFine`` as unpacked, without conversion.

    Convention:
        ``labelIds`` are read and mapped here. Other classes, such as *ego vehicle* and *license plate* (-1, stored
        as 255), are ignored. ``labelTrainIds`` are not used. The labels of the test split are not public.
    """

    dataset = "Cityscapes"
    layout = "leftImg8bit/<split>/<city>/*_leftImg8bit.png and gtFine/<split>/<city>/*_gtFine_labelIds.png"
    schema = CITYSCAPES_SCHEMA
    table = table_of(
        {raw: label for label, raw in enumerate(IDS)},
        ignored=[raw for raw in (*range(LAST_ID + 1), 255) if raw not in IDS],
    )

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(s for s in ("train", "val", "test") if (self.root / "leftImg8bit" / s).is_dir())

    def find(self, split: str) -> list[Picture]:
        pictures = []
        for image in sorted((self.root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png")):
            name = image.name.removesuffix("_leftImg8bit.png")
            label = self.root / "gtFine" / split / image.parent.name / f"{name}_gtFine_labelIds.png"
            pictures.append(
                Picture(
                    name=f"{image.parent.name}/{name}",
                    split=split,
                    group=image.parent.name,
                    image=image,
                    label=label if split != "test" else None,
                )
            )
        return pictures
