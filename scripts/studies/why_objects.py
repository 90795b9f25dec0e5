"""The tables of the study why_context that count objects."""

from collections import Counter
from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from studies.why_modules import header, row

from pcseg.metrics.objects import FOUND, LOST

WEAK = ("window", "door", "board", "clutter", "bookcase")
"""Classes that the tables look at; those that the data do not have are left out."""

LISTED = ("window", "door", "board")
"""Classes whose objects are listed one by one."""


def known(names: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Those of ``names`` that the data have."""
    return [name for name in names if name in classes]


def objects_table(runs: dict[str, list[dict]], classes: list[str]) -> list[str]:
    """Objects found, mixed and lost, mean over all runs."""
    everyone = [run["errors"]["objects"] for each in runs.values() for run in each]
    lines = [
        "Objects of 50 points or more: *found* with at least 80 % of their points right, *lost* with at most 20 %, "
        "else *mixed*; and in which of them the wrong points are. Mean over all runs.",
        "",
        *header("class", "objects", "found", "mixed", "lost", "wrong points in found / mixed / lost",
                 "lost ones are taken for"),
    ]  # fmt: skip
    fates = ("found", "mixed", "lost")
    for name in known(("wall", *WEAK), classes):
        own = [objects[name] for objects in everyone]
        cells = [f"{mean(one[fate] for one in own):.1f}" for fate in fates]
        wrong = " / ".join(f"{100 * mean(one[f'missed_{fate}'] for one in own):.0f}" for fate in fates)
        lines.append(row(name, own[0]["objects"], *cells, wrong, _taken_for(own, classes)))
    return lines


def _taken_for(own: list[dict], classes: list[str]) -> str:
    total: Counter[str] = Counter()
    for one in own:
        total.update(one["taken_for"])
    best = total.most_common(3)
    return ", ".join(f"{classes[int(number)]} {100 * count / total.total():.0f}" for number, count in best)


def gather_objects(runs: dict[str, list[dict[str, Any]]], made_of: dict[str, str]) -> list[dict[str, Any]]:
    """Every object that the runs list, once, with what each run made of it; taken out of the runs' numbers.

    Args:
        runs: Numbers of the runs by variant, one a seed.
        made_of: What objects are made of, by ``room/instance``.
    """
    found: dict[tuple[str, int, str], dict[str, Any]] = {}
    for each in runs.values():
        for run in each:
            for where, key in (("unseen", "errors"), ("seen", "seen_errors")):
                for one in run[key].pop("each_object"):
                    place = one["room"], one["instance"], one["class"]
                    kept = {name: one[name] for name in ("room", "instance", "class", "points")}
                    kept["contrast"] = None if one["contrast"] != one["contrast"] else one["contrast"]
                    kept["made_of"] = made_of.get(f"{one['room']}/{one['instance']}")
                    mine = found.setdefault(place, kept | {"where": where, "right": [], "taken_for": []})
                    mine["right"].append(one["right"])
                    mine["taken_for"].append(one["taken_for"])
    return list(found.values())


def agreement(objects: list[dict[str, Any]]) -> list[str]:
    """Whether all runs lose the same objects, and how these differ in colour from the wall around them."""
    lines = [
        "Do all runs lose the same objects? Contrast: distance of the object's mean colour from that of the wall "
        "around it (0 to 255), median.",
        "",
        *header("class", "objects", "lost by all", "lost by most", "found by most", "contrast of those lost by most",
                 "of those found by most"),
    ]  # fmt: skip
    for name in LISTED:
        own = [one for one in objects if one["class"] == name and one["where"] == "unseen"]
        if not own:
            continue
        lost = [mean(right <= LOST for right in one["right"]) for one in own]
        found = [mean(right >= FOUND for right in one["right"]) for one in own]
        often, seen = ([one for one, rate in zip(own, rates) if rate > 0.5] for rates in (lost, found))
        cells = len(own), sum(rate == 1 for rate in lost), len(often), len(seen)
        lines.append(row(name, *cells, _median(often), _median(seen)))
    return lines


def _median(objects: list[dict[str, Any]]) -> str:
    known = [one["contrast"] for one in objects if one["contrast"] is not None]
    return f"{median(known):.0f}" if known else "-"


def kinds_table(objects: list[dict[str, Any]]) -> list[str]:
    """Objects by what they are made of, in unseen and in seen rooms; nothing where that is not known."""
    cells: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in objects:
        if one["made_of"] is not None:
            cells.setdefault((one["class"], one["made_of"]), []).append(one)
    if not cells:
        return []
    lines = [
        "By what they are made of (*as the wall*: of the colour of the wall's paint): mean share of right points over "
        "all runs, and how many percent are lost to which classes. *Seen*: rooms of an area of the training.",
        "",
        *header("class", "made of", "unseen", "right", "lost to", "seen", "right", "lost to"),
    ]
    for (name, kind), found in sorted(cells.items()):
        parts = [part for where in ("unseen", "seen") for part in _kind_cells(found, where)]
        lines.append(row(name, kind, *parts))
    return lines


def _kind_cells(found: list[dict[str, Any]], where: str) -> tuple[str, str, str]:
    """How many objects there are, how much of them is right, and what the lost ones are taken for."""
    ones = [one for one in found if one["where"] == where]
    if not ones:
        return "0", "", ""
    pairs = [pair for one in ones for pair in zip(one["right"], one["taken_for"])]
    lost = [name for right, name in pairs if right <= LOST]
    best = sorted(set(lost), key=lambda name: (-lost.count(name), name))[:2]
    names = ", ".join(f"{name} {100 * lost.count(name) / len(pairs):.0f}" for name in best)
    return str(len(ones)), f"{100 * mean(right for right, _ in pairs):.0f}", names
