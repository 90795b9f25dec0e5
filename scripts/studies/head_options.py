"""Which level, recurrence, thickness and reference size: options of the point heads, one changed at a time."""

from pathlib import Path

from studies.harness import Study, Variant, chosen

CCNET, CTNET, ENCNET = (f"configs/rooms/{name}.yaml" for name in ("ccnet", "ctnet", "encnet"))


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
    return Variant(
        name=name, config=config, note=note, options=(*chosen_body, *options), base=Path(config).stem
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
    option("encnet-growing", ENCNET, "encodings grow with the cloud, as published", reference_size="null"),
    option("encnet-no-loss", ENCNET, "without SE-loss", presence_weight=0.0),
)

LEFT_OUT = """\
## Left out

Other ways to help lines of sparse voxels reach further, which have no option of the heads:

- **Planes** in the place of lines (option B): 270 to 18,000 pairs a voxel where lines have tens;
  `pcseg.ops.lines.axis_planes` makes them for experiments.
- **Lines on several voxel sizes together** (C): one size at a time is what the levels show.
- **Logits over the root of their width**, as in transformers: 64.0 ± 1.5 over the same three seeds, as without.
- **Turned or estimated axes** (D): generated rooms and the aligned release of S3DIS have their walls along the axes.
- **Windows or samples of long lines** (F): time a voxel hardly grows with the length of the lines
  ([heads](../benchmarks/heads.md)).
- **Other keys for voxels alone on their lines** (G): three recurrences join 99 % of an office's voxels of 32 cm already
  ([class features](../class_features.md))."""


def study(variants: list[str] | None) -> Study:
    return Study(
        title="Options of the context heads on generated rooms",
        question="What the defaults of the point heads rest on: one option changed at a time.",
        variants=chosen(OPTIONS, variants),
        remarks=LEFT_OUT,
    )
