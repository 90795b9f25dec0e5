"""ADE20K: the 150 classes of the scene parsing benchmark."""

import numpy as np

from pcseg.data.images.reader import ImageReader, Picture, palette_colors, table_of
from pcseg.labels import LabelSchema

NAMES = """
wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door,
table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field, armchair,
seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest of drawers,
counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop,
stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck, tower,
chandelier, awning, streetlight, booth, television receiver, airplane, dirt track, apparel, pole, land, bannister,
escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything,
swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, trade name,
microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray,
ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag
"""

ADE20K_SCHEMA = LabelSchema(
    name="ade20k",
    names=tuple(name.strip() for name in NAMES.replace("\n", " ").split(",")),
    colors=palette_colors(151)[1:],
)
"""In the order of ``objectInfo150.txt``, each named by its first synonym."""


class ADE20K(ImageReader):
    """Read the release ``ADEChallengeData2016`` of the benchmark.

    Convention:
        Label files hold 0 for *other*, which is ignored, and 1..150 for the classes.
    """

    dataset = "ADE20K"
    layout = (
        "images/training/*.jpg and annotations/training/*.png, the same for validation (ADEChallengeData2016)"
    )
    schema = ADE20K_SCHEMA
    table: np.ndarray = table_of({k + 1: k for k in range(150)}, ignored=(0,))
    train_splits = ("training",)
    test_splits = ("validation",)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(s for s in ("training", "validation") if (self.root / "images" / s).is_dir())

    def find(self, split: str) -> list[Picture]:
        return [
            Picture(
                name=image.stem,
                split=split,
                group=image.stem,
                image=image,
                label=self.root / "annotations" / split / f"{image.stem}.png",
            )
            for image in sorted((self.root / "images" / split).glob("*.jpg"))
        ]
