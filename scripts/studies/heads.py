"""Does context help? Every head on the same backbone, and the best head on another backbone."""

from studies.harness import Study, Variant, chosen

HEADS = (
    Variant(name="linear", config="rooms/linear", note="a linear layer"),
    Variant(name="fcn", config="rooms/fcn", note="a convolution on the same level, no context"),
    Variant(name="encnet", config="rooms/encnet", note="channel gate from a codebook, SE-loss"),
    Variant(name="ctnet", config="rooms/ctnet", note="channel, then spatial context; CP-loss"),
    Variant(name="ccnet", config="rooms/ccnet", note="criss-cross attention along axis lines"),
    Variant(
        name="ptv3-encnet",
        config="rooms/ptv3_small/encnet",
        note="EncNet's head on Point Transformer V3 (small)",
    ),
)


def study(variants: list[str] | None) -> Study:
    return Study(
        title="Context heads on generated rooms",
        question="Heads on the same sparse U-Net, in equal budgets: the same rooms, crops, steps and seeds.",
        variants=chosen(HEADS, variants),
    )
