"""Do class shares of slabs help? Against controls with the same supervision and as many parameters."""

from studies.harness import Criterion, Intervention, Study, Variant, chosen
from studies.heads import DEEP, POSITIONS

CONTROL = "a convolution with deep supervision, no context: the control"

HEADS = (
    Variant(name="fcn-deep", config="rooms/fcn", options=DEEP, note=CONTROL),
    Variant(
        name="slab-positions",
        config="rooms/slab",
        options=POSITIONS,
        note="slabs that hold only their position; as many parameters as *slab*",
    ),
    Variant(name="slab", config="rooms/slab", note="slabs that hold class shares"),
    Variant(
        name="ptv3-fcn-deep",
        config="rooms/ptv3_small/fcn",
        options=DEEP,
        note="the control on Point Transformer V3 (small)",
    ),
    Variant(
        name="ptv3-slab-positions",
        config="rooms/ptv3_small/slab",
        options=POSITIONS,
        note="slabs that hold only their position",
        base="ptv3-fcn-deep",
    ),
    Variant(
        name="ptv3-slab",
        config="rooms/ptv3_small/slab",
        note="slabs that hold class shares",
        base="ptv3-fcn-deep",
    ),
)

INTERVENTIONS = (
    Intervention(change="own", note="shares of the same room: a check, nothing may change"),
    Intervention(change="permuted", note="shares permuted between the slabs of an axis"),
    Intervention(change="average", note="mean shares of the room in every slab"),
    Intervention(change="shuffled", note="shares of the slab at the same relative position in another room"),
    Intervention(change="true", note="true shares"),
)

CRITERIA = (
    Criterion(claim="class shares help", row="slab", against=("fcn-deep", "slab-positions"), least=1.5),
    Criterion(
        claim="also on Point Transformer V3",
        row="ptv3-slab",
        against=("ptv3-fcn-deep", "ptv3-slab-positions"),
        least=1.5,
    ),
    Criterion(claim="it matters whose shares they are", row="slab", against=("permuted",), least=2),
    Criterion(claim="better shares help more", row="true", against=("slab",), least=1),
)


def study(variants: list[str] | None) -> Study:
    return Study(
        title="Class shares of slabs on generated rooms",
        question="Heads on the same backbones, in equal budgets: the same rooms, crops, steps and seeds.",
        variants=chosen(HEADS, variants),
        interventions=INTERVENTIONS,
        intervened="slab",
        criteria=CRITERIA,
    )
