"""How do class features help? Parts of CTNet, auxiliary losses, recurrences, levels, and interventions."""

from dataclasses import replace

from studies.harness import Intervention, Study, Variant, chosen
from studies.head_options import CTNET, OPTIONS, option
from studies.heads import HEADS

VARIANT_BODY = "studies.ctnet_variants.CTVariantBody"
SHARED = {variant.name: variant for variant in (*HEADS, *OPTIONS)}
"""Variants of the other studies, whose runs are shared."""


def ablation(name: str, note: str, **values: object) -> Variant:
    """Return a variant of CTNet with other modules or class features."""
    return option(name, CTNET, note, body=VARIANT_BODY, **values)


VARIANTS = (
    replace(SHARED["ctnet"], note="as published: channel, then spatial context; M = p vᵀ; CP-loss; level 2"),
    SHARED["fcn"],
    ablation("ccm-alone", "channel context only: gated tokens, CP-loss", order="channel"),
    ablation(
        "scm-alone",
        "spatial context only: tokens attend to a learned class embedding",
        order="spatial",
        class_features="embedding",
    ),
    ablation(
        "ungated",
        "both, but the channel vector describes classes only: tokens are not gated",
        order="spatial",
    ),
    ablation(
        "swapped",
        "spatial context with a class embedding, then channel context",
        order="swapped",
        class_features="embedding",
    ),
    ablation("embedding", "tandem, with a class embedding instead of p vᵀ", class_features="embedding"),
    ablation("added", "tandem, with a class embedding added to p vᵀ", class_features="added"),
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
    Intervention(change="own", note="class features of the same room: a check, nothing may change"),
    Intervention(change="permuted", note="p permuted between the classes: does not affect the SCM"),
    Intervention(change="true", note="true class frequencies instead of p"),
    Intervention(change="average", note="mean class features of all unseen rooms"),
    Intervention(change="shuffled", note="class features of another room"),
    Intervention(change="shuffled-prob", note="p of another room, v of the same room"),
    Intervention(change="uniform", note="p = 1/K: the same for all classes"),
    Intervention(change="random", note="Gaussian noise of the same norm"),
    Intervention(change="zero", note="no class features"),
    Intervention(
        change="average-gate", note="tokens gated by the mean v of all unseen rooms, class features kept"
    ),
    Intervention(change="shuffled-gate", note="tokens gated by v of another room, class features kept"),
)


def study(variants: list[str] | None) -> Study:
    return Study(
        title="Class features on generated rooms",
        question="How class features help: modules, features, losses, recurrences and levels compared, and "
        "interventions on a trained CTNet.",
        variants=chosen(VARIANTS, variants),
        interventions=INTERVENTIONS,
    )
