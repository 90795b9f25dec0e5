"""The tables of the study why_context that count objects."""

from statistics import mean, median
from typing import Any

from studies.why_modules import header, row

WEAK = ("window", "door", "board", "clutter", "bookcase")
"""Classes that the tables look at; those that the data do not have are left out."""


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
    for name in ("wall", *WEAK):
        if name in classes:
            own = [objects[name] for objects in everyone]
            cells = [f"{mean(one[key] for one in own):.1f}" for key in ("found", "mixed", "lost")]
            wrong = " / ".join(
                f"{100 * mean(one[f'missed_{key}'] for one in own):.0f}" for key in ("found", "mixed", "lost")
            )
            lines.append(row(name, own[0]["objects"], *cells, wrong, _taken_for(own, classes)))
    return lines


def _taken_for(own: list[dict], classes: list[str]) -> str:
    total: dict[int, int] = {}
    for one in own:
        for number, count in one["taken_for"].items():
            total[int(number)] = total.get(int(number), 0) + count
    lost = max(sum(total.values()), 1)
    best = sorted(total.items(), key=lambda pair: -pair[1])[:3]
    return ", ".join(f"{classes[number]} {100 * count / lost:.0f}" for number, count in best)


def agreement(runs: dict[str, list[dict]]) -> list[str]:
    """Whether all runs lose the same objects, and how these differ in colour from the wall around them."""
    tables = [run["errors"]["each_object"] for each in runs.values() for run in each]
    lines = [
        f"Do all {len(tables)} runs lose the same objects? Contrast: distance of the object's mean colour from that of "
        "the wall around it (0 to 255), median.",
        "",
        *header("class", "objects", "lost by all", "lost by most", "found by most", "contrast of those lost by most",
                 "of those found by most"),
    ]  # fmt: skip
    for name in ("window", "door", "board"):
        shares: dict[tuple[str, int], list[float]] = {}
        contrast: dict[tuple[str, int], float] = {}
        for table in tables:
            for one in table:
                if one["class"] == name:
                    key = one["room"], one["instance"]
                    shares.setdefault(key, []).append(one["right"])
                    contrast[key] = one["contrast"]
        if not shares:
            continue
        lost = {key: mean(share <= 0.2 for share in each) for key, each in shares.items()}
        found = {key: mean(share >= 0.8 for share in each) for key, each in shares.items()}
        often, seen = ([key for key, rate in rates.items() if rate > 0.5] for rates in (lost, found))
        lines.append(
            row(name, len(shares), sum(rate == 1 for rate in lost.values()), len(often), len(seen),
                 _median([contrast[key] for key in often]), _median([contrast[key] for key in seen]))
        )  # fmt: skip
    return lines


def _median(values: list[float]) -> str:
    known = [value for value in values if value == value]
    return f"{median(known):.0f}" if known else "-"


def kinds_table(content: dict[str, Any]) -> list[str]:
    """Objects by what they are made of, in unseen and in seen rooms; nothing where that is not known."""
    made_of = content["made_of"]
    if not made_of:
        return []
    lines = [
        "By what they are made of (*as the wall*: of the colour of the wall's paint): mean share of right points over "
        "all runs, and what most of the objects that are lost are taken for. *Seen*: rooms of the training.",
        "",
        *header("class", "made of", "unseen", "right", "lost ones are", "seen", "right", "lost ones are"),
    ]
    cells: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for each in content["runs"].values():
        for run in each:
            for where, errors in (("unseen", run["errors"]), ("seen", run["seen_errors"])):
                for one in errors["each_object"]:
                    key = one["class"], made_of[f"{one['room']}/{one['instance']}"]
                    cells.setdefault(key, {"unseen": [], "seen": []})[where].append(one)
    for (name, kind), found in sorted(cells.items()):
        parts = [part for where in ("unseen", "seen") for part in _kind_cells(found[where])]
        lines.append(row(name, kind, *parts))
    return lines


def _kind_cells(ones: list[dict[str, Any]]) -> tuple[str, str, str]:
    """How many different objects, how much of them is right, and what the lost ones are taken for."""
    if not ones:
        return "0", "", ""
    count = len({(one["room"], one["instance"]) for one in ones})
    lost = [one["taken_for"] for one in ones if one["right"] <= 0.2]
    best = sorted(set(lost), key=lambda name: (-lost.count(name), name))[:2]
    names = ", ".join(f"{name} {100 * lost.count(name) / len(ones):.0f}" for name in best)
    return str(count), f"{100 * mean(one['right'] for one in ones):.0f}", names
