"""Does context help? The heads on the same backbones, against a convolution on the same level without context."""

from studies.harness import Study, Variant, chosen

BODY = "--head.body.init_args"
DEEP = (f"{BODY}.deep_weight", "0.4")
FINE = ("--head.init_args.fine", "64")

HEADS = (
    Variant(name="fcn", config="rooms/fcn", note="a convolution on the same level, no context: the control"),
    Variant(name="fcn-deep", config="rooms/fcn", options=DEEP, note="the control with deep supervision"),
    Variant(name="fcn-fine", config="rooms/fcn", options=FINE, note="the control with fine fusion"),
    Variant(name="linear", config="rooms/linear", note="a linear layer"),
    Variant(name="encnet", config="rooms/encnet", note="channel gate from a codebook, SE-loss"),
    Variant(
        name="encnet-shared",
        config="rooms/encnet",
        options=(f"{BODY}.assignment", "shared"),
        note="one smoothing factor for all codewords",
        base="encnet",
    ),
    Variant(
        name="encnet-cosine",
        config="rooms/encnet",
        options=(f"{BODY}.assignment", "cosine"),
        note="codewords assigned by cosines",
        base="encnet",
    ),
    Variant(name="ctnet", config="rooms/ctnet", note="channel, then spatial context; CP-loss"),
    Variant(name="ccnet", config="rooms/ccnet", note="criss-cross attention along axis lines"),
    Variant(name="cac", config="rooms/cac", note="classifier made from the class centers of the room"),
    Variant(name="centers", config="rooms/ctnet_centers", note="CTNet with class centers as class features"),
    Variant(name="slab", config="rooms/slab", note="class shares of slabs along the axes"),
    Variant(
        name="slab-features",
        config="rooms/slab",
        options=(f"{BODY}.content", "features"),
        note="mean features of slabs",
        base="slab",
    ),
    Variant(
        name="slab-attention",
        config="rooms/slab",
        options=(f"{BODY}.heads", "4"),
        note="attention between slabs",
        base="slab",
    ),
    Variant(
        name="slab-fine", config="rooms/slab", options=FINE, note="class shares with fine fusion", base="slab"
    ),
    Variant(
        name="ptv3-fcn", config="rooms/ptv3_small/fcn", note="the control on Point Transformer V3 (small)"
    ),
    Variant(name="ptv3-encnet", config="rooms/ptv3_small/encnet", note="EncNet", base="ptv3-fcn"),
)


def study(variants: list[str] | None) -> Study:
    return Study(
        title="Context heads on generated rooms",
        question="Heads on the same backbone, in equal budgets: the same rooms, crops, steps and seeds.",
        variants=chosen(HEADS, variants),
    )
