"""Guesses of units and up axis on generated clouds.

Right: the unit and the axis are those of the cloud. Abstained: what is not right stayed meters or z up, and a remark
states the doubt and names the option. Wrong: anything else. The clouds "for choosing limits" guided the signs and
their limits; the unseen ones have other rooms, seeds and kinds of clouds, and did not. A room is a scan of a
generated room with random noise, spacing, yaw and origin; the origin is that of the room, far below or above it, or
one of map coordinates.
"""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from benchmarks.cloud_parts import GuessCase
from benchmarks.guess_clouds import FAMILIES, Maker
from benchmarks.unseen_clouds import UNSEEN

from pcseg.data.alignment import find_frame

EACH = 10
"""Clouds per family."""

USED = range(40)
"""Rooms that limits were chosen with."""

OTHERS = range(1000, 1040)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Outcomes of one family of clouds."""

    clouds: str
    family: str
    right: int
    abstained: int
    wrong: int


def run() -> list[Row]:
    """Guess the units and axes of all clouds."""
    known = count(FAMILIES, seed=1, each=EACH, rooms=USED, clouds="for choosing limits")
    return known + count(FAMILIES + UNSEEN, seed=2, each=EACH, rooms=OTHERS, clouds="unseen")


def count(
    families: Sequence[Maker], *, seed: int, each: int, rooms: range, clouds: str, workers: int = 4
) -> list[Row]:
    """Return the outcomes of ``each`` clouds per family, and of all families together."""
    outcomes: dict[str, list[str]] = defaultdict(list)
    jobs = [(make, (seed, number, k), rooms) for number, make in enumerate(families) for k in range(each)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for family, result in pool.map(guess, jobs, chunksize=each):
            outcomes[family].append(result)
            outcomes["all"].append(result)
    return [
        Row(
            clouds=clouds,
            family=family,
            **{kind: found.count(kind) for kind in ("right", "abstained", "wrong")},
        )
        for family, found in outcomes.items()
    ]


def guess(job: tuple[Maker, tuple[int, ...], range]) -> tuple[str, str]:
    """Make a cloud; the same job gives the same cloud. Return its family and the outcome."""
    make, seed, rooms = job
    case = make(np.random.default_rng(seed), rooms)
    return case.family, outcome(case)


def outcome(case: GuessCase) -> str:
    """Return ``right``, ``abstained`` or ``wrong``."""
    frame = find_frame(case.pos, file_unit=case.file_unit)
    unit = frame.unit == case.unit
    up = (frame.up, frame.one_view) == (case.up, case.view)
    if unit and up:
        return "right"
    kept_unit = unit or (frame.unit == "m" and "units" in frame.unsure)
    kept_up = up or ((frame.up, frame.one_view) == ("z", False) and "up" in frame.unsure)
    return "abstained" if kept_unit and kept_up else "wrong"


def as_markdown(rows: list[Row]) -> str:
    """Return a table of shares per family."""
    lines = ["| Clouds | Family | Number | Right | Abstained | Wrong |", "|---|---|---|---|---|---|"]
    for row in rows:
        total = row.right + row.abstained + row.wrong
        shares = " | ".join(f"{value / total:.1%}" for value in (row.right, row.abstained, row.wrong))
        lines.append(f"| {row.clouds} | {row.family} | {total} | {shares} |")
    return "\n".join(lines) + "\n"
