"""Do class shares of slabs help on rooms and sensors of another generator? The trained models of the study ``slabs``.

The rooms, which no choice has seen, are made by::

    python -m data_prep.buildings data/other_rooms_raw --train 0 --val 0 --test 30 --seed 12 --spacing 0.02
    pcseg prepare folder data/other_rooms_raw/s3dis.yaml data/other_rooms
"""

from pathlib import Path

from studies import slabs
from studies.harness import Criterion, Study, chosen

CRITERIA = (
    Criterion(
        claim="not worse than the controls", row="slab", against=("fcn-deep", "slab-positions"), least=0
    ),
    Criterion(
        claim="also on Point Transformer V3",
        row="ptv3-slab",
        against=("ptv3-fcn-deep", "ptv3-slab-positions"),
        least=0,
    ),
)


def study(variants: list[str] | None) -> Study:
    return Study(
        title="Class shares of slabs on rooms of another generator",
        question="The trained models of [slabs](slabs.md), scored on generated scans of other rooms, furniture and "
        "sensors (`data_prep.buildings`), which training and the choice of options never saw.",
        variants=chosen(slabs.HEADS, variants),
        criteria=CRITERIA,
        other=Path("data/other_rooms"),
    )
