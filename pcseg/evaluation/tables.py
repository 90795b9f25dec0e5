"""Text of reports: Markdown tables in percent, provenance lists, compact JSON, and ScanNet's result file."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pcseg.metrics.confusion import ConfusionMatrix


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def percent(number: float | None, digits: int = 2) -> str:
    """Return a score in percent, ``-`` for a score that does not exist."""
    return "-" if number is None or math.isnan(number) else f"{100 * number:.{digits}f}"


def finite(number: float) -> float | None:
    """Return a number for JSON: ``None`` for NaN and infinity."""
    return number if math.isfinite(number) else None


def provenance_list(record: Mapping[str, Any]) -> str:
    """Return a provenance record as a Markdown list."""
    return "\n".join(f"- {key}: {_text(value)}" for key, value in record.items())


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def compact_json(content: object) -> str:
    """Return JSON with one line per list of numbers, so that a confusion matrix has one line per class."""
    text = json.dumps(content, indent=1, allow_nan=False)
    lists = re.compile(r"\[\n\s*([-\d][-+.\de,\s]*?)\n\s*\]")
    return lists.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def scannet_result(matrix: ConfusionMatrix, names: Sequence[str], ids: Sequence[int]) -> str:
    """Return the result file of ScanNet's ``evaluate_semantic_label.py``, byte by byte.

    *Convention*: Absent classes have ``nan``; the official script fails on them.
    """
    heads = [f"{name:<14s}({number:<2d})" for name, number in zip(names, ids)]
    lines = ["iou scores"]
    lines += [f"{head}: {iou:>5.3f}" for head, iou in zip(heads, matrix.iou().tolist())]
    lines += ["", "confusion matrix", "\t\t\t" + "".join(f"{number:<8d}" for number in ids)]
    counts = matrix.counts[:, : matrix.num_classes].tolist()
    lines += [head + "".join(f"\t{count:>5.3f}" for count in row) for head, row in zip(heads, counts)]
    return "\n".join(lines) + "\n"
