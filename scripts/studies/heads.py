"""Does context help? The heads on the same backbones, against a convolution on the same level without context."""

from studies.harness import Study, Variant, chosen

HEADS = (
    Variant(name="fcn", config="rooms/fcn", note="a convolution on the same level, no context: the control"),
    Variant(name="linear", config="rooms/linear", note="a linear layer"),
    Variant(name="encnet", config="rooms/encnet", note="channel gate from a codebook, SE-loss"),
    Variant(name="ctnet", config="rooms/ctnet", note="channel, then spatial context; CP-loss"),
    Variant(name="ccnet", config="rooms/ccnet", note="criss-cross attention along axis lines"),
    Variant(name="cac", config="rooms/cac", note="classifier made from the class centers of the room"),
    Variant(name="centers", config="rooms/ctnet_centers", note="CTNet with class centers as class features"),
    Variant(name="slab", config="rooms/slab", note="class shares of slabs along the axes"),
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
