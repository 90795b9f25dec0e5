"""Does context help on images? Published heads against class centers and slabs, on frames of generated rooms."""

from pathlib import Path

from studies.harness import Criterion, Study, Variant, chosen

FEATURES = "--head.init_args.body.init_args.class_features"
DEEP = ("--head.init_args.body.init_args.deep_weight", "0.4")


def _variant(name: str, head: str, note: str, *options: str) -> Variant:
    return Variant(name=f"frames-{name}", config=f"rooms_frames/{head}", options=options, note=note, score=())


HEADS = (
    _variant("fcn-deep", "fcn", "a convolution with deep supervision, no context: the control", *DEEP),
    _variant("fcn", "fcn", "a convolution without deep supervision"),
    _variant("encnet", "encnet", "channel gate from a codebook, SE-loss"),
    _variant("ctnet", "ctnet", "channel, then spatial context; CP-loss"),
    _variant("ccnet", "ccnet", "criss-cross attention, two recurrences"),
    _variant("centers", "ctnet", "CTNet with class centers as class features", FEATURES, "centers"),
    _variant("slab", "slab", "class shares of rows, columns and the whole image"),
)

CRITERIA = (
    Criterion(claim="class shares help", row="frames-slab", against=("frames-fcn-deep",), least=1.0),
    Criterion(
        claim="more than the published heads",
        row="frames-slab",
        against=("frames-encnet", "frames-ctnet", "frames-ccnet"),
        least=0.0,
    ),
)


def study(variants: list[str] | None) -> Study:
    return Study(
        title="Context heads on frames of generated rooms",
        question="Heads on the same narrow ResNet, in equal budgets: the same frames, crops, steps and seeds.",
        variants=chosen(HEADS, variants),
        criteria=CRITERIA,
        data=Path("data/rooms_frames"),
    )
