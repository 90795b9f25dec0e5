"""Table of a study: scores with their spread, paired differences, costs, classes."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

from scipy import stats
from studies.harness import Outcome, Study, Variant, made_with
from studies.settings import changed_settings, settings_of

from pcseg.errors import UserError, reason
from pcseg.files import write_json, write_text


def spread(values: Sequence[float]) -> str:
    """Return ``mean ± standard deviation`` of values in percent; the deviation needs two values."""
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def within_noise(differences: Sequence[float]) -> bool:
    """Return whether the mean of paired differences is at most two standard errors from 0."""
    if len(differences) < 2:
        return True
    return abs(mean(differences)) <= 2 * stdev(differences) / math.sqrt(len(differences))


def write_report(
    study: Study,
    outcomes: Sequence[Outcome],
    interventions: Sequence[Outcome] = (),
    *,
    folder: Path,
    name: str,
    command: str,
    budget: Sequence[str] = (),
) -> None:
    """Write ``folder/NAME.md`` and ``folder/NAME.json`` with the command that made them.

    Args:
        study: Title and question of the page.
        outcomes: Rows of the table in order; the others are compared with the first.
        interventions: Rows of the second table.
        folder: Folder of the report.
        name: Name of the files.
        command: Command that made it.
        budget: Options of training that all variants share; :func:`read_outcomes` requires the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "command": command,
        "study": study.title,
        "budget": list(budget),
        "variants": [_plain(outcome) for outcome in outcomes],
        "interventions": [_plain(outcome) for outcome in interventions],
    }
    write_json(folder / f"{name}.json", content)
    write_text(folder / f"{name}.md", markdown(study, outcomes, interventions, command=command))


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "variant": outcome.variant.name,
        "config": outcome.variant.config,
        "options": list(outcome.variant.options),
        "settings": outcome.settings,
        "miou": outcome.mious,
        "class_iou": outcome.class_ious(),
        "cost": outcome.cost,
        "protocols": [result["provenance"] for result in outcome.results],
    }


def read_outcomes(
    path: Path,
    variants: Sequence[Variant],
    *,
    rooms: Mapping[str, str],
    budget: Sequence[str],
    seeds: int,
    table: Literal["variants", "interventions"] = "variants",
) -> list[Outcome]:
    """Return the rows of an earlier report that were made as ``variants`` are now; none without a report.

    Args:
        path: ``NAME.json`` of :func:`write_report`.
        variants: The rows to return.
        rooms: Required hashes of the rooms, see :func:`~studies.harness.hashes_of_rooms`; none for images, whose rows
            are not kept.
        budget: Required options of training.
        seeds: Required number of seeds.
        table: Table that the rows are from.

    Convention:
        Reports of earlier versions do not hold the settings of training; those of their rows are taken as unchanged.

    Raises:
        UserError: The file is not the report of a study.
    """
    if not path.is_file() or not rooms:
        return []
    try:
        content = json.loads(path.read_text())
        known = {row["variant"]: row for row in content[table]}
        pairs = [(known[variant.name], variant) for variant in variants if variant.name in known]
        return [
            _outcome(row, variant)
            for row, variant in pairs
            if content.get("budget", []) == list(budget)
            and len(row["miou"]) == seeds
            and all(made_with(rooms, protocol) for protocol in row["protocols"])
            and (row["config"], row["options"]) == (variant.config, list(variant.options))
            and not changed_settings(
                row.get("settings", {}), settings_of(variant.config, [*budget, *variant.options])
            )
        ]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not the report of a study ({reason(error)}). Move it away.") from error


def _outcome(row: dict[str, Any], variant: Variant) -> Outcome:
    # a report holds class means over the seeds, which stand here for every seed
    classes = [{"name": name, "iou": iou / 100} for name, iou in row["class_iou"].items()]
    results = [
        {"scores": {"miou": {"excluded": miou / 100}}, "classes": classes, "provenance": protocol}
        for miou, protocol in zip(row["miou"], row["protocols"], strict=True)
    ]
    return Outcome(variant=variant, results=results, settings=row.get("settings", {}))


def markdown(
    study: Study, outcomes: Sequence[Outcome], interventions: Sequence[Outcome] = (), *, command: str
) -> str:
    """Return the page of a study: scores, differences and relative costs to the base of each variant, classes."""
    first, protocol = outcomes[0], outcomes[0].results[0]["provenance"]
    rows = {outcome.variant.name: outcome for outcome in outcomes}
    bases = [rows.get(outcome.variant.base, first) for outcome in outcomes]
    others = dict.fromkeys(base.variant.name for base in bases if base is not first)
    compared = f"*{first.variant.name}*" + (
        f", or for variants of *{'* and *'.join(others)}* to that one" if others else ""
    )
    scored = f"original points of {protocol['scenes']}"
    if "images" in protocol:
        scored = f"pixels of {protocol['images']} images of {protocol['scenes']}"
    seeds = f"{len(first.results)} seed{'s' if len(first.results) > 1 else ''}"
    lines = [f"# {study.title}", "", study.question, "", f"Made by `{command}`.", ""]
    lines += [
        f"mIoU in percent of all {scored} unseen rooms "
        f"({protocol['release']}; {', '.join(protocol['splits'])}), {seeds}. Δ is the paired "
        f"difference to {compared}; ≈ marks differences within noise (at most two standard errors).",
        "",
        "| variant | mIoU | Δ | parameters | time per step | memory per step | |",
        "|---|---|---|---|---|---|---|",
    ]
    for outcome, base in zip(outcomes, bases):
        delta = "" if outcome is first else difference(outcome, base)
        lines.append(
            f"| {outcome.variant.name} | {spread(outcome.mious)} | {delta} | {_costs(outcome, base)} "
            f"| {outcome.variant.note} |"
        )
    if interventions:
        lines += _interventions_table(rows.get(study.intervened, first), interventions)
    lines += verdicts(study, [*outcomes, *interventions])
    lines += ["", "## Classes", ""]
    lines += _class_table(outcomes)
    return "\n".join(lines) + "\n"


def difference(outcome: Outcome, first: Outcome, *, digits: int = 1) -> str:
    """Return the mean of the differences per seed, marked if within noise."""
    pairs = _pairs(outcome, first)
    return f"{'≈ ' if within_noise(pairs) else ''}{mean(pairs):+.{digits}f}"


def verdicts(study: Study, outcomes: Sequence[Outcome]) -> list[str]:
    """Return the criteria of a study with the measured differences; those whose rows are missing are left out."""
    rows = {outcome.variant.name: outcome for outcome in outcomes}
    lines = [
        "",
        "## Criteria",
        "",
        "Written down before the runs; a criterion is met by the mean over the seeds.",
        "",
    ]
    lines += ["| claim | required | measured | |", "|---|---|---|---|"]
    known = [criterion for criterion in study.criteria if {criterion.row, *criterion.against} <= rows.keys()]
    for criterion in known:
        best = max((rows[name] for name in criterion.against), key=lambda outcome: mean(outcome.mious))
        pairs = _pairs(rows[criterion.row], best)
        met = "met" if mean(pairs) >= criterion.least else "not met"
        seeds = ", ".join(f"{pair:+.1f}" for pair in pairs)
        lines.append(
            f"| {criterion.claim} | {criterion.row} minus {best.variant.name} ≥ {criterion.least:g} "
            f"| {interval(pairs)} ({seeds}) | {met} |"
        )
    return lines if known else []


def interval(differences: Sequence[float]) -> str:
    """Return the mean of paired differences with its 95 % interval of Student's t distribution."""
    if len(differences) < 2:
        return f"{mean(differences):+.1f}"
    half = stats.t.ppf(0.975, len(differences) - 1) * stdev(differences) / math.sqrt(len(differences))
    return f"{mean(differences):+.1f} ± {half:.1f}"


def _pairs(outcome: Outcome, base: Outcome) -> list[float]:
    return [there - here for there, here in zip(outcome.mious, base.mious, strict=True)]


def _interventions_table(first: Outcome, interventions: Sequence[Outcome]) -> list[str]:
    """Table of the trained models of one variant with replaced class features or gates."""
    lines = [
        "",
        f"## Interventions on the trained {first.variant.name}",
        "",
        "The same checkpoints, not retrained. What the context module passes on is replaced during prediction.",
        "",
        "| replacement | mIoU | Δ | |",
        "|---|---|---|---|",
        f"| none | {spread(first.mious)} | | the model as trained |",
    ]
    return lines + [
        f"| {outcome.variant.name} | {spread(outcome.mious)} | {difference(outcome, first, digits=2)} "
        f"| {outcome.variant.note} |"
        for outcome in interventions
    ]


def _class_table(outcomes: Sequence[Outcome]) -> list[str]:
    lines = ["| class | " + " | ".join(outcome.variant.name for outcome in outcomes) + " |"]
    lines.append("|---" * (len(outcomes) + 1) + "|")
    columns = [outcome.class_ious() for outcome in outcomes]
    for name in dict.fromkeys(name for column in columns for name in column):
        cells = " | ".join(f"{column[name]:.1f}" if name in column else "" for column in columns)
        lines.append(f"| {name} | {cells} |")
    return lines


def _costs(outcome: Outcome, first: Outcome) -> str:
    if not outcome.cost:
        return " | | "
    pairs = [(outcome.cost[key], first.cost[key]) for key in ("step_s", "step_mb")]
    ratios = [f"{own / base:.2f}x" if own and base else "" for own, base in pairs]
    return f"{outcome.cost['parameters'] / 1e6:.2f} M | {ratios[0]} | {ratios[1]}"
