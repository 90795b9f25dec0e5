"""Do class shares of slabs help? Against controls with the same supervision and as many parameters."""

from dataclasses import replace

from studies import heads
from studies.harness import Criterion, Intervention, Study, chosen

SHARED = {head.name: head for head in heads.HEADS}
HEADS = tuple(
    replace(SHARED[prefix + name], base="ptv3-fcn-deep" if prefix and name != "fcn-deep" else "")
    for prefix in ("", "ptv3-")
    for name in ("fcn-deep", "slab-positions", "slab")
)
"""The control with deep supervision takes the place of the one without."""

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
