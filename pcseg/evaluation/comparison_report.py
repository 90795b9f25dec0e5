"""The table of a comparison: one row a class, one column a model, on all points and on those that frames see."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pcseg.files import write_json, write_text
from pcseg.metrics.confusion import ConfusionMatrix

AVERAGE = "average"
"""Name of the column of all models together."""


@dataclass(frozen=True, kw_only=True)
class ComparisonReport:
    """Counts of several models on the same points.

    Args:
        names: Class names.
        protocol: Everything that the numbers depend on.
        everywhere: Confusion matrices of all points by column; a point that an image model does not see is a miss.
        covered: The same of the points that a frame sees.
        seen: Labelled points of every class that a frame sees, and all of them, ``(2, K)``.
    """

    names: tuple[str, ...]
    protocol: dict[str, Any]
    everywhere: dict[str, ConfusionMatrix]
    covered: dict[str, ConfusionMatrix]
    seen: np.ndarray

    @classmethod
    def empty(
        cls, models: Sequence[str], *, names: tuple[str, ...], protocol: dict[str, Any]
    ) -> "ComparisonReport":
        """A report of nothing, with a column for each model and one for :data:`AVERAGE`."""
        columns = [*models, AVERAGE]
        return cls(
            names=names,
            protocol=protocol,
            everywhere={name: ConfusionMatrix(len(names)) for name in columns},
            covered={name: ConfusionMatrix(len(names)) for name in columns},
            seen=np.zeros((2, len(names)), np.int64),
        )

    def add(self, name: str, label: np.ndarray, truth: np.ndarray, covered: np.ndarray) -> None:
        """Count the points of a room for one column; labels, truth and coverage ``(N,)``."""
        pred, target = torch.from_numpy(label.astype(np.int64)), torch.from_numpy(truth.astype(np.int64))
        self.everywhere[name].update(pred, target)
        mask = torch.from_numpy(covered)
        self.covered[name].update(pred[mask], target[mask])
        if name == AVERAGE:
            for row, part in enumerate((truth[covered], truth)):
                self.seen[row] += np.bincount(part[part >= 0], minlength=len(self.names))

    @property
    def coverage(self) -> float:
        """Share of the labelled points that a frame sees."""
        return float(self.seen[0].sum() / max(self.seen[1].sum(), 1))

    def as_dict(self) -> dict[str, Any]:
        """Plain data: scores in 0..1, ``None`` where a score does not exist."""
        shares = self.seen[0] / np.maximum(self.seen[1], 1)
        return {
            "coverage": self.coverage,
            "columns": list(self.everywhere),
            "all_points": {name: _means(matrix) for name, matrix in self.everywhere.items()},
            "covered_points": {name: _means(matrix) for name, matrix in self.covered.items()},
            "classes": [
                {
                    "name": name,
                    "labeled": int(self.seen[1, k]),
                    "coverage": float(shares[k]) if self.seen[1, k] else None,
                    "iou": {column: _finite(float(m.iou()[k])) for column, m in self.everywhere.items()},
                    "iou_covered": {column: _finite(float(m.iou()[k])) for column, m in self.covered.items()},
                }
                for k, name in enumerate(self.names)
            ],
            "protocol": self.protocol,
        }

    def as_markdown(self) -> str:
        """The report as a page of Markdown, in percent."""
        what = f"{self.protocol['release']}, {', '.join(self.protocol['splits'])}"
        lines = [
            f"# Points and images compared: {what}",
            f"{self.protocol['scenes']} rooms that no model saw in training, {int(self.seen[1].sum()):,} labelled "
            f"points; frames see {100 * self.coverage:.1f} % of them.",
            "## All points (IoU; a point that no frame sees is a miss of the image models)",
            self._table(self.everywhere),
            "## Points that a frame sees (IoU)",
            self._table(self.covered),
            "## Protocol",
            "\n".join(f"- {key}: {_text(value)}" for key, value in self.protocol.items()),
        ]
        return "\n\n".join(lines) + "\n"

    def _table(self, matrices: dict[str, ConfusionMatrix]) -> str:
        header = ["class", *matrices, "seen by frames"]
        rows = [header, ["---"] * len(header)]
        for k, name in enumerate(self.names):
            scores = [_percent(float(matrix.iou()[k])) for matrix in matrices.values()]
            seen = self.seen[0, k] / self.seen[1, k] if self.seen[1, k] else math.nan
            rows.append([name, *scores, _percent(seen)])
        for title, score in (
            ("**mIoU**", ConfusionMatrix.mean_iou),
            ("**mAcc**", ConfusionMatrix.mean_accuracy),
        ):
            rows.append([title, *(_percent(score(matrix)) for matrix in matrices.values()), ""])
        right = [_percent(matrix.overall_accuracy()) for matrix in matrices.values()]
        rows.append(["**right points**", *right, _percent(self.coverage)])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def write(self, folder: Path) -> None:
        """Write ``comparison.json`` and ``comparison.md``; each appears when it is complete."""
        write_json(folder / "comparison.json", self.as_dict())
        write_text(folder / "comparison.md", self.as_markdown())


def _means(matrix: ConfusionMatrix) -> dict[str, float | None]:
    return {
        "miou": _finite(matrix.mean_iou()),
        "miou_absent_as_zero": _finite(matrix.mean_iou(absent="zero")),
        "macc": _finite(matrix.mean_accuracy()),
        "oa": _finite(matrix.overall_accuracy()),
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _percent(number: float) -> str:
    return "-" if math.isnan(number) else f"{100 * number:.1f}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
