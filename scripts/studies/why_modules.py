"""The table of the study why_context on the modules themselves."""

from typing import Any


def row(*cells: object) -> str:
    """A row of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def header(*cells: object) -> list[str]:
    """The two rows that a table starts with."""
    return [row(*cells), "|" + "---|" * len(cells)]


def dig(numbers: Any, *keys: str) -> Any:
    """What lies in nested dictionaries under these keys; ``None`` where there is no such key."""
    for key in keys:
        numbers = numbers.get(key) if isinstance(numbers, dict) else None
    return numbers


def state_table(runs: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What the context module of every head does, a row a number, a cell with the values of all seeds."""
    lines = header("head", "number", "each seed", "what it is")
    for name, each in runs.items():
        for key, (path, form, note) in STATE_NOTES.items():
            values = [dig(run if path[0] == "points_know" else run["state"], *path) for run in each]
            if values[0] is not None:
                lines.append(row(name, key, "; ".join(_format(value, form) for value in values), note))
    return lines


def _format(value: Any, form: str) -> str:
    return ", ".join(format(one, form) for one in value) if isinstance(value, list) else format(value, form)


STATE_NOTES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "gate": (("channel_mean",), ".3f", "mean over channels and rooms"),
    "gate, between channels": (("channel_std_over_channels",), ".3f", "standard deviation"),
    "gate, between rooms": (("channel_std_between_rooms",), ".4f", "standard deviation, mean over channels"),
    "gate, crop to room": (
        ("shift",),
        ".2f",
        "distance of a crop's gate to its room's over that of two rooms",
    ),
    "gate, bias of crops": (("bias",), ".2f", "length of the mean difference over the same"),
    "codewords": (("codewords_over_1_percent",), "d", "that hold more than 1 % of the assignments"),
    "largest codeword": (("largest_codeword",), ".2f", "share of the assignments"),
    "sharpness": (("sharpness",), ".2f", "mean largest assignment of a token"),
    "token norm": (("token_norm",), ".2f", "of what is encoded, mean"),
    "codeword norm": (("codeword_norm",), ".2f", "mean"),
    "spacing": (("spacing",), ".2f", "mean distance of two codewords"),
    "presence": (("presence", "right"), ".2f", "right answers, over classes that not all rooms have or lack"),
    "presence, constant": (("presence", "constant"), ".2f", "of the best constant answers"),
    "presence, from points": (
        ("points_know", "presence", "right"),
        ".2f",
        "right answers, if a class is there that over 0.1 % of the voxels are called",
    ),
    "presence, crops": (("presence_crops", "right"), ".2f", "right answers for crops"),
    "presence, crops, constant": (("presence_crops", "constant"), ".2f", "of the best constant answers"),
    "p, correlation": (
        ("share", "correlation"),
        ".2f",
        "with the true shares, of what differs between rooms",
    ),
    "p, error": (("share", "error"), ".4f", "mean absolute error"),
    "p, error of the mean": (("share", "constant"), ".4f", "of the mean true shares of all rooms"),
    "shares, from points": (
        ("points_know", "share", "correlation"),
        ".2f",
        "correlation of mean probabilities",
    ),
    "shares, from points, error": (("points_know", "share", "error"), ".4f", "mean absolute error"),
    "affinity": (("affinity_largest",), ".2f", "mean largest attention of a token to a class"),
    "gamma": (("gamma",), ".4f", "factor of what attention adds; starts at 0"),
    "entropy": (("entropy",), ".2f", "of the attention, over that of equal attention; each recurrence"),
    "largest weight": (("largest",), ".2f", "of a token's attention; each recurrence"),
    "seen": (("seen",), ".0f", "tokens that a token attends to"),
    "added": (("added",), ".3f", "norm of what attention adds over that of the token; each recurrence"),
}
"""Rows of the last table: where the number is, its format, and what it is."""
