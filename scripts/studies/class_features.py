"""How do class features help? CTNet taken apart, the losses of whole clouds, recurrences, levels; what it relies on."""

from dataclasses import replace

from studies.harness import Intervention, Study, Variant, chosen
from studies.head_options import CTNET, OPTIONS, option
from studies.heads import HEADS

TAKEN_APART = "studies.ctnet_variants.CTVariantBody"
SHARED = {variant.name: variant for variant in (*HEADS, *OPTIONS)}
"""Variants of the other studies; runs are shared too."""


def apart(name: str, note: str, **values: object) -> Variant:
    """A variant of CTNet with other modules or class features."""
    return option(name, CTNET, note, body=TAKEN_APART, **values)


VARIANTS = (
    replace(SHARED["ctnet"], note="as published: channel, then spatial context; M = p vᵀ; CP-loss; level 2"),
    SHARED["fcn"],
    apart("ccm-alone", "channel context alone: gated tokens, CP-loss", order="channel"),
    apart(
        "scm-alone",
        "spatial context alone: tokens attend to a learned class embedding",
        order="spatial",
        class_features="embedding",
    ),
    apart(
        "ungated",
        "both, but the channel vector only describes classes, tokens are not gated",
        order="spatial",
    ),
    apart(
        "swapped",
        "spatial context with a class embedding, then channel context",
        order="swapped",
        class_features="embedding",
    ),
    apart("embedding", "tandem, with a class embedding instead of p vᵀ", class_features="embedding"),
    apart("added", "tandem, with a class embedding added to p vᵀ", class_features="added"),
    SHARED["ctnet-no-loss"],
    SHARED["ctnet-level1"],
    SHARED["ctnet-level3"],
    SHARED["encnet"],
    SHARED["encnet-no-loss"],
    SHARED["ccnet"],
    SHARED["ccnet-r2"],
    SHARED["ccnet-r1"],
)

INTERVENTIONS = (
    Intervention(change="own", note="the room's own class features: a check, nothing may change"),
    Intervention(change="permuted", note="p permuted between the classes: the SCM cannot notice"),
    Intervention(change="true", note="true class frequencies instead of p"),
    Intervention(change="average", note="mean class features of all unseen rooms"),
    Intervention(change="shuffled", note="class features of another room"),
    Intervention(change="shuffled-prob", note="p of another room, v of this one"),
    Intervention(change="uniform", note="p = 1/K: all classes the same"),
    Intervention(change="random", note="normal random numbers of the same norm"),
    Intervention(change="zero", note="no class features"),
    Intervention(
        change="average-gate", note="tokens gated by the mean v of all unseen rooms, class features kept"
    ),
    Intervention(change="shuffled-gate", note="tokens gated by v of another room, class features kept"),
)


def study(variants: list[str] | None) -> Study:
    return Study(
        title="Class features on generated rooms",
        question="How do class features help: which module, which features, which loss, how many recurrences, "
        "which level, and what a trained CTNet relies on.",
        variants=chosen(VARIANTS, variants),
        interventions=INTERVENTIONS,
    )
