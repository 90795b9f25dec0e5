"""The page of the study why_context."""

from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from studies.report import spread, within_noise
from studies.why_modules import dig, header, row, state_table
from studies.why_objects import LISTED, WEAK, agreement, kinds_table, known, objects_table

ORACLE_NOTES = {
    "nothing": "the model as trained",
    "presence": "knows which classes the room holds: a perfect SE-loss, used to rule classes out",
    "average-shares": "knows nothing: mean probabilities made the mean shares of training rooms; a control",
    "typical-shares": "knows which classes the room holds: their shares made those of training rooms that hold them",
    "frequency": "knows the shares: logits + log(true share / mean predicted share), once",
    "matched": "the same repeated until mean probabilities are the true shares: a perfect p",
    "sides": "knows which walls are outer ones: no board there, no window elsewhere",
    "objects": "knows which points are one object: they take their mean probability",
    "objects-presence": "both *objects* and *presence*",
    "surfaces": "knows wall, window, door, board apart, where a point is one of these",
}

RULES = (
    "Read off the generator (`data_prep/building`):",
    "",
    "- *Windows* are in one or two outer walls, one of them across from the main door, in a row of equal size and "
    "height, their sills at 0.8 to 1 m (in 12 % of the rooms near the floor), with radiators below in 35 % of the "
    "rooms. In 35 % of the rooms slats or drawn blinds cover most of them. Glass alone is told by its colour and by "
    "rays that do not come back.",
    "- *Boards* hang on inner walls, two in a room at most, their lower edges at 0.8 to 1 m: three in four as white as "
    "the room's blinds, all in frames of the metal that its windows have.",
    "- *Doors* stand on the floor and are 2 to 2.15 m high. One in five is as white as boards and blinds.",
    "- In 30 % of the rooms that white is the colour of the wall.",
    "- What is left then is below a voxel of 8 cm: frames 2.5 to 6 cm wide, relief of 0.6 to 10 cm. The network sees "
    "one point a voxel, its colour and height, and not where in the voxel it lies.",
    "",
    "Blind or board is a question of *which wall*: of equal panels in a row (CCNet's lines along the wall) or of the "
    "door across the room (two recurrences). A vector of the room is the same for all its walls: EncNet and CTNet "
    "cannot say it, and that both classes are present tells nothing; exact shares tell it where one of both prevails. "
    "The U-Net's own coarsest voxels, 1.28 m, span a room too.",
)
"""What a context module would have to know."""


def markdown(content: dict[str, Any]) -> str:
    """The page, from what ``why_context.json`` holds."""
    runs, classes = content["runs"], content["classes"]
    stamp = next(iter(runs.values()))[0]["protocol"]
    lines = [
        "# Why context helps or not, on generated rooms",
        "",
        "What the trained heads of [heads.md](heads.md) lack, know and do; nothing is trained here.",
        "",
        f"Made by `{content['command']}`.",
        "",
        f"In percent of all original points of {stamp['scenes']} unseen rooms ({stamp['release']}; "
        f"{', '.join(stamp['splits'])}), {len(next(iter(runs.values())))} seeds; ≈ marks differences within noise "
        "(at most two standard errors of the paired differences).",
    ]
    lines += ["", "## Ceilings: what a perfect answer would give", "", *_oracle_table(runs)]
    lines += ["", *_oracle_classes(runs, classes), "", *_grid_table(content)]
    lines += ["", "## Errors", "", *_confusions(runs, classes), "", *objects_table(runs, classes)]
    lines += [
        "",
        *agreement(content["objects"]),
        "",
        *kinds_table(content["objects"]),
        "",
        *_borders(content),
    ]
    lines += ["", "## What is learned, what carries over", "", *_scores_table(content)]
    lines += ["", "## What decides in these rooms", "", *RULES]
    lines += ["", "## Inside the modules", "", *state_table(content["runs"])]
    return "\n".join(lines) + "\n"


def _delta(there: Sequence[float], here: Sequence[float]) -> str:
    pairs = [a - b for a, b in zip(there, here, strict=True)]
    return f"{'≈ ' if within_noise(pairs) else ''}{mean(pairs):+.1f}"


def _mious(runs: list[dict], *keys: str) -> list[float]:
    return [dig(run, *keys, "miou") for run in runs]


def _oracle_table(runs: dict[str, list[dict]]) -> list[str]:
    lines = header("oracle", *runs, "")
    plain = [_mious(each, "oracles", "nothing") for each in runs.values()]
    for name, note in ORACLE_NOTES.items():
        told = [_mious(each, "oracles", name) for each in runs.values()]
        cells = map(spread, plain) if name == "nothing" else map(_delta, told, plain)
        lines.append(row(name, *cells, note))
    return ["mIoU, then what it gains by each oracle:", "", *lines]


def _mean_iou_of(runs: list[dict], classes: list[str], name: str, *keys: str) -> float:
    return mean(dig(run, *keys, "class_iou")[classes.index(name)] or 0.0 for run in runs)


def _oracle_classes(runs: dict[str, list[dict]], classes: list[str]) -> list[str]:
    weak = known(("wall", *WEAK), classes)
    everyone = [run for each in runs.values() for run in each]
    lines = ["IoU of classes, mean over all runs:", "", *header("oracle", *weak)]
    return lines + [
        row(name, *(f"{_mean_iou_of(everyone, classes, weak_one, 'oracles', name):.1f}" for weak_one in weak))
        for name in ORACLE_NOTES
    ]


def _grid_table(content: dict[str, Any]) -> list[str]:
    classes = content["classes"]
    weak = known(("wall", *WEAK), classes)
    lines = ["If every voxel got the class that most of its points have:", ""]
    lines += header("edge of a voxel", "mIoU", *weak)
    for edge, found in content["grids"].items():
        cells = (found["class_iou"][classes.index(name)] for name in weak)
        lines.append(
            row(f"{100 * float(edge):.0f} cm", f"{found['miou']:.1f}", *(f"{c or 0:.1f}" for c in cells))
        )
    return lines


def _confusions(runs: dict[str, list[dict]], classes: list[str]) -> list[str]:
    """Where points of the weak classes go, and what points called so are, over all runs."""
    total = [[0] * len(classes) for _ in classes]
    for each in runs.values():
        for run in each:
            for i, counts in enumerate(run["errors"]["confusion"]):
                total[i] = [a + b for a, b in zip(total[i], counts)]
    lines = ["Over all runs, in percent of the points of the class (middle) or called so (right):", ""]
    lines += header("class", "its points are called", "what is called so is")
    for name in known(("wall", *WEAK), classes):
        i = classes.index(name)
        called, is_really = total[i], [counts[i] for counts in total]
        lines.append(row(name, _largest(called, classes), _largest(is_really, classes)))
    return lines


def _largest(counts: list[int], classes: list[str], number: int = 4) -> str:
    order = sorted(range(len(classes)), key=lambda i: -counts[i])[:number]
    whole = max(sum(counts), 1)
    return ", ".join(f"{classes[i]} {100 * counts[i] / whole:.1f}" for i in order if counts[i] * 200 > whole)


def _borders(content: dict[str, Any]) -> list[str]:
    everyone = [run["errors"] for each in content["runs"].values() for run in each]
    classes = content["classes"]
    weak = known(WEAK, classes)
    lines = ["Shares of points near a border between classes (within one to two edges):", ""]
    lines += header(
        "edge", "of all points", "of the wrong points", *(f"wrong points of {name}" for name in weak)
    )
    for i, width in enumerate(content["widths"]):
        cells = [mean(run["all_points_near_border"][i] for run in everyone)]
        cells.append(mean(run["near_border"][i] for run in everyone))
        cells += [
            mean(run["near_border_of_class"][i][classes.index(name)] for run in everyone) for name in weak
        ]
        lines.append(row(f"{100 * width:.0f} cm", *(f"{100 * cell:.0f}" for cell in cells)))
    return lines


def _scores_table(content: dict[str, Any]) -> list[str]:
    runs, classes = content["runs"], content["classes"]
    listed = known(LISTED, classes)
    sizes = [room["voxels"] for room in content["rooms"]]
    lines = [
        f"*crops*: rooms seen in pieces of at most {content['crop_voxels']} voxels, as in training (the rooms have "
        f"{min(sizes)} to {max(sizes)}, median {median(sizes):.0f}). *without own context*: EncNet and CTNet gate "
        "by the mean gate of all rooms, CCNet adds nothing (gamma = 0). *seen rooms*: an area of the training, with "
        "those of its rooms that were held out for validation.",
        "",
        "*own*: what the module says of the room used as the oracles use the truth: EncNet's presence multiplied, "
        "CTNet's p matched.",
        "",
        *header("head", "whole rooms", "crops", "without own context", "own", "mean of the seeds' probabilities",
                 "seen rooms", *(f"{name}, seen" for name in listed)),
    ]  # fmt: skip
    for name, each in runs.items():
        whole = _mious(each, "oracles", "nothing")
        without = _delta(_mious(each, "without"), whole) if each[0]["without"] else "-"
        own = _delta(_mious(each, "own"), whole) if each[0]["own"] else "-"
        lines.append(
            row(name, spread(whole), _delta(_mious(each, "crops"), whole), without, own,
                 f"{content['ensembles'][name]['miou']:.1f}", spread(_mious(each, "seen_rooms")),
                 *(f"{_mean_iou_of(each, classes, one, 'seen_rooms'):.1f}" for one in listed))
        )  # fmt: skip
    lines += ["", f"Mean probabilities of all runs: {content['ensembles']['all']['miou']:.1f}."]
    return lines
