"""Options of the point heads, one changed at a time: level, recurrence, thickness, reference size, losses."""

from studies.harness import Study, Variant, chosen, with_options

CCNET, CTNET, ENCNET = (f"rooms/{name}" for name in ("ccnet", "ctnet", "encnet"))


def option(name: str, config: str, note: str, *, body: str | None = None, **values: object) -> Variant:
    """Return a variant whose head has other options than its configuration, or another class of body.

    It is compared with the variant that has the configuration's name.
    """
    inside = "--head.init_args.body"
    options = [
        f"--head.init_args.{key}={value}" if key == "level" else f"{inside}.init_args.{key}={value}"
        for key, value in values.items()
    ]
    chosen_body = [] if body is None else [f"{inside}={body}"]
    return with_options(name, config, note, *chosen_body, *options)


OPTIONS = (
    Variant(name="ccnet", config=CCNET, note="as configured: level 2, R = 3, lines one voxel thick"),
    option("ccnet-r1", CCNET, "one recurrence", recurrence=1),
    option("ccnet-r2", CCNET, "two recurrences, as on images", recurrence=2),
    option("ccnet-thick2", CCNET, "lines two voxels thick", thickness=2),
    option("ccnet-level1", CCNET, "voxels half as large", level=1),
    option("ccnet-level3", CCNET, "voxels twice as large", level=3),
    Variant(name="ctnet", config=CTNET, note="as configured: level 2"),
    option("ctnet-level1", CTNET, "voxels half as large", level=1),
    option("ctnet-level3", CTNET, "voxels twice as large", level=3),
    option("ctnet-no-loss", CTNET, "without CP-loss", class_weight=0.0),
    Variant(name="encnet", config=ENCNET, note="as configured: level 2"),
    option("encnet-level1", ENCNET, "voxels half as large", level=1),
    option("encnet-level3", ENCNET, "voxels twice as large", level=3),
    option("encnet-growing", ENCNET, "encodings grow with the cloud, as published", reference_size="null"),
    option("encnet-no-loss", ENCNET, "without SE-loss", presence_weight=0.0),
)


def study(variants: list[str] | None) -> Study:
    return Study(
        title="Options of the context heads on generated rooms",
        question="The evidence for the defaults of the point heads: one option changed at a time.",
        variants=chosen(OPTIONS, variants),
    )
