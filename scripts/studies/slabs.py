"""Do class shares of slabs help? Against controls with the same supervision and as many parameters."""

from studies.harness import Criterion, Intervention, Study, Variant, chosen

BODY = "--head.body.init_args"
DEEP = (f"{BODY}.deep_weight", "0.4")
POSITIONS = (f"{BODY}.content", "positions")
FINE = ("--head.init_args.fine", "64")
CONTROL = "a convolution with deep supervision, no context: the control"

HEADS = (
    Variant(name="fcn-deep", config="rooms/fcn", options=DEEP, note=CONTROL),
    Variant(
        name="fcn-fine", config="rooms/fcn", options=FINE, note="a convolution with fine fusion, no context"
    ),
    Variant(
        name="slab-positions",
        config="rooms/slab",
        options=POSITIONS,
        note="slabs that hold only their position; as many parameters as *slab*",
    ),
    Variant(
        name="slab-features",
        config="rooms/slab",
        options=(f"{BODY}.content", "features"),
        note="slabs that hold mean features",
    ),
    Variant(name="slab", config="rooms/slab", note="slabs that hold class shares"),
    Variant(
        name="slab-attention",
        config="rooms/slab",
        options=(f"{BODY}.heads", "4"),
        note="the same with attention between slabs",
    ),
    Variant(name="slab-fine", config="rooms/slab", options=FINE, note="class shares with fine fusion"),
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
