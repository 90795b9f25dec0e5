"""Does context help? Every head on the same backbone, and the best on another, with the same rooms, steps and seeds."""

from studies.harness import Study, Variant, chosen

HEADS = (
    Variant(name="plain", config="configs/rooms/plain.yaml", note="a linear layer"),
    Variant(name="fcn", config="configs/rooms/fcn.yaml", note="a convolution on the same level, no context"),
    Variant(name="encnet", config="configs/rooms/encnet.yaml", note="codebook gate and SE-loss"),
    Variant(name="ctnet", config="configs/rooms/ctnet.yaml", note="channel, then spatial context; CP-loss"),
    Variant(name="ccnet", config="configs/rooms/ccnet.yaml", note="criss-cross attention along axis lines"),
    Variant(
        name="ptv3-encnet",
        config="configs/rooms/ptv3_small_encnet.yaml",
        note="EncNet's head on Point Transformer V3 (small)",
    ),
)


def study(variants: list[str] | None) -> Study:
    return Study(
        title="Context heads on generated rooms",
        question="Heads on the same sparse U-Net, in equal budgets: the same rooms, crops, steps and seeds.",
        variants=chosen(HEADS, variants),
    )
