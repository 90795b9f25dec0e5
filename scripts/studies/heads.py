"""Does context help? Every head on the same backbones, against controls of the same size without context."""

from studies.harness import Criterion, Intervention, Study, Variant, chosen

BODY = "--head.body.init_args"
SLAB = "rooms/slab"

HEADS = (
    Variant(name="fcn", config="rooms/fcn", note="a convolution on the same level, no context: the control"),
    Variant(name="linear", config="rooms/linear", note="a linear layer"),
    Variant(
        name="fcn-deep",
        config="rooms/fcn",
        options=(f"{BODY}.deep_weight", "0.4"),
        note="the control with deep supervision, no context",
    ),
    Variant(
        name="fcn-fine",
        config="rooms/fcn",
        options=("--head.init_args.fine", "64"),
        note="the control with fine fusion, no context",
    ),
    Variant(
        name="slab-positions",
        config=SLAB,
        options=(f"{BODY}.content", "positions"),
        note="slabs that hold only their position; as many parameters as *slab*",
    ),
    Variant(
        name="slab-features",
        config=SLAB,
        options=(f"{BODY}.content", "features"),
        note="slabs that hold mean features",
    ),
    Variant(name="slab", config=SLAB, note="slabs that hold class shares"),
    Variant(
        name="slab-attention",
        config=SLAB,
        options=(f"{BODY}.heads", "4"),
        note="the same with attention between slabs",
    ),
    Variant(
        name="slab-fine",
        config=SLAB,
        options=("--head.init_args.fine", "64"),
        note="slabs that hold class shares, with fine fusion",
    ),
    Variant(name="encnet", config="rooms/encnet", note="channel gate from a codebook, SE-loss"),
    Variant(name="ctnet", config="rooms/ctnet", note="channel, then spatial context; CP-loss"),
    Variant(name="ccnet", config="rooms/ccnet", note="criss-cross attention along axis lines"),
    Variant(name="cac", config="rooms/cac", note="classifier made from the class centers of the room"),
    Variant(name="centers", config="rooms/ctnet_centers", note="CTNet with class centers as class features"),
    Variant(
        name="ptv3-fcn", config="rooms/ptv3_small/fcn", note="the control on Point Transformer V3 (small)"
    ),
    Variant(
        name="ptv3-fcn-deep",
        config="rooms/ptv3_small/fcn",
        options=(f"{BODY}.deep_weight", "0.4"),
        note="with deep supervision",
        base="ptv3-fcn",
    ),
    Variant(
        name="ptv3-slab-positions",
        config="rooms/ptv3_small/slab",
        options=(f"{BODY}.content", "positions"),
        note="slabs that hold only their position",
        base="ptv3-fcn",
    ),
    Variant(
        name="ptv3-slab", config="rooms/ptv3_small/slab", note="slabs that hold class shares", base="ptv3-fcn"
    ),
    Variant(name="ptv3-encnet", config="rooms/ptv3_small/encnet", note="EncNet", base="ptv3-fcn"),
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
        title="Context heads on generated rooms",
        question="Heads on the same sparse U-Net, in equal budgets: the same rooms, crops, steps and seeds.",
        variants=chosen(HEADS, variants),
        interventions=INTERVENTIONS,
        intervened="slab",
        criteria=CRITERIA,
    )
