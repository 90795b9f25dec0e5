"""Does context help? The heads on the same backbones, against a convolution on the same level without context."""

from dataclasses import replace

from studies.harness import Study, Variant, chosen, with_options

BODY = "--head.body.init_args"
DEEP = (f"{BODY}.deep_weight", "0.4")
FINE = ("--head.init_args.fine", "64")
FCN, ENCNET, SLAB = (f"rooms/{name}" for name in ("fcn", "encnet", "slab"))

UNET = (
    Variant(name="fcn", config=FCN, note="a convolution on the same level, no context: the control"),
    with_options("fcn-deep", FCN, "the control with deep supervision", *DEEP),
    with_options("fcn-fine", FCN, "the control with fine fusion", *FINE),
    Variant(name="linear", config="rooms/linear", note="a linear layer"),
    Variant(name="encnet", config=ENCNET, note="channel gate from a codebook, SE-loss"),
    with_options(
        "encnet-shared", ENCNET, "one smoothing factor for all codewords", f"{BODY}.assignment", "shared"
    ),
    with_options("encnet-cosine", ENCNET, "codewords assigned by cosines", f"{BODY}.assignment", "cosine"),
    Variant(name="ctnet", config="rooms/ctnet", note="channel, then spatial context; CP-loss"),
    Variant(name="ccnet", config="rooms/ccnet", note="criss-cross attention along axis lines"),
    Variant(name="cac", config="rooms/cac", note="classifier made from the class centers of the room"),
    Variant(name="centers", config="rooms/ctnet_centers", note="CTNet with class centers as class features"),
    Variant(name="slab", config=SLAB, note="class shares of slabs along the axes"),
    with_options(
        "slab-positions", SLAB, "positions of slabs, as many parameters", f"{BODY}.content", "positions"
    ),
    with_options("slab-features", SLAB, "mean features of slabs", f"{BODY}.content", "features"),
    with_options("slab-attention", SLAB, "attention between slabs", f"{BODY}.heads", "4"),
    with_options("slab-fine", SLAB, "class shares with fine fusion", *FINE),
)

PTV3 = tuple(
    replace(
        head,
        name=f"ptv3-{head.name}",
        config=head.config.replace("rooms/", "rooms/ptv3_small/"),
        note=f"Point Transformer V3 (small): {head.note}",
        base="" if head.name == "fcn" else f"ptv3-{head.base or 'fcn'}",
    )
    for head in UNET
)

HEADS = (*UNET, *PTV3)


def study(variants: list[str] | None) -> Study:
    return Study(
        title="Context heads on generated rooms",
        question="Heads on the same backbone, in equal budgets: the same rooms, crops, steps and seeds.",
        variants=chosen(HEADS, variants),
    )
