"""Which level, recurrence, thickness and reference size: options of the point heads, one changed at a time."""

from studies.harness import Study, Variant, chosen

CCNET, CTNET, ENCNET = (f"configs/rooms/{name}.yaml" for name in ("ccnet", "ctnet", "encnet"))


def option(name: str, config: str, note: str, *, head: str | None = None, **values: object) -> Variant:
    """A variant whose head has other options than its configuration says, or is of another class ``head``."""
    options = tuple(f"--head.{key}={value}" for key, value in values.items())
    return Variant(
        name=name,
        config=config,
        note=note,
        options=options if head is None else (f"--head={head}", *options),
    )


OPTIONS = (
    Variant(name="ccnet", config=CCNET, note="as configured: level 2, R = 3, lines one voxel thick"),
    option("ccnet-r1", CCNET, "one recurrence", recurrence=1),
    option("ccnet-r2", CCNET, "two, as on images", recurrence=2),
    option("ccnet-thick2", CCNET, "lines two voxels thick (option A)", thickness=2),
    option("ccnet-level1", CCNET, "voxels half as large", level=1),
    option("ccnet-level3", CCNET, "voxels twice as large", level=3),
    Variant(name="ctnet", config=CTNET, note="as configured: level 2"),
    option("ctnet-level1", CTNET, "voxels half as large", level=1),
    option("ctnet-level3", CTNET, "voxels twice as large", level=3),
    option("ctnet-no-loss", CTNET, "without CP-loss", class_weight=0.0),
    Variant(name="encnet", config=ENCNET, note="as configured: level 2"),
    option("encnet-level1", ENCNET, "voxels half as large", level=1),
    option("encnet-level3", ENCNET, "voxels twice as large", level=3),
    option("encnet-no-loss", ENCNET, "without SE-loss", presence_weight=0.0),
)


def study(variants: list[str] | None) -> Study:
    return Study(
        title="Options of the context heads on generated rooms",
        question="What the defaults of the point heads rest on: one option changed at a time.",
        variants=chosen(OPTIONS, variants),
    )
