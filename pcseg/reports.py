"""Results of an evaluation as JSON and Markdown, never without the protocol they were made by."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pcseg.metrics.confusion import Absent, ConfusionMatrix

CONVENTIONS: dict[Absent, str] = {
    "excluded": "the {present} classes that are labelled or predicted",
    "zero": "all {all} classes, absent ones as 0",
}
"""What the means of each convention run over."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Scores of a model on a split.

    Args:
        protocol: Everything that the numbers depend on.
        names: Class names.
        matrix: Confusion matrix of the whole split.
        baselines: Confusion matrices of predictors to compare with, by their description.
    """

    protocol: dict[str, Any]
    names: tuple[str, ...]
    matrix: ConfusionMatrix
    baselines: dict[str, ConfusionMatrix]

    @property
    def absent_classes(self) -> list[str]:
        """Classes that are neither labelled nor predicted: they make the two conventions differ."""
        return self._names_where(self.matrix.absent)

    @property
    def only_predicted_classes(self) -> list[str]:
        """Classes that are predicted but never labelled: their IoU is 0, their accuracy does not exist."""
        return self._names_where((self.matrix.labelled == 0) & (self.matrix.predicted > 0))

    def _names_where(self, mask: Tensor) -> list[str]:
        return [name for name, chosen in zip(self.names, mask.tolist()) if chosen]

    def as_dict(self) -> dict[str, Any]:
        """Plain data: scores in 0..1, ``None`` where a score does not exist."""
        columns = (self.matrix.iou(), self.matrix.accuracy(), self.matrix.labelled, self.matrix.predicted)
        classes = zip(self.names, *(column.tolist() for column in columns))
        return {
            "scores": scores(self.matrix),
            "absent_classes": self.absent_classes,
            "only_predicted_classes": self.only_predicted_classes,
            "classes": [
                {
                    "name": name,
                    "iou": _finite(iou),
                    "accuracy": _finite(accuracy),
                    "labelled": n,
                    "predicted": m,
                }
                for name, iou, accuracy, n, m in classes
            ],
            "baselines": {name: scores(matrix) for name, matrix in self.baselines.items()},
            "confusion": self.matrix.counts.tolist(),
            "confusion_convention": "row = label, column = prediction, last column = no class",
            "protocol": self.protocol,
        }

    def as_markdown(self) -> str:
        """The report as a page of Markdown, in percent."""
        what = f"{self.protocol['dataset']}, {', '.join(self.protocol['splits'])}"
        return (
            "\n\n".join(
                [
                    f"# Semantic segmentation of {what}",
                    self._means_table(),
                    self._absent_sentence(),
                    self._class_table(),
                    "## Protocol",
                    "\n".join(f"- {key}: {_text(value)}" for key, value in self.protocol.items()),
                ]
            )
            + "\n"
        )

    def _means_table(self) -> str:
        rows = ["| in percent | mIoU | mAcc | OA | mIoU is the mean over |", "|---|---|---|---|---|"]
        for name, matrix in {"**this model**": self.matrix, **self.baselines}.items():
            means = scores(matrix)
            present = int((~matrix.absent).sum())
            for convention, text in CONVENTIONS.items():
                numbers = means["miou"][convention], means["macc"][convention], means["oa"]
                meaning = text.format(present=present, all=matrix.num_classes)
                rows.append(f"| {name} | {' | '.join(map(_percent, numbers))} | {meaning} |")
        return "\n".join(rows)

    def _absent_sentence(self) -> str:
        absent = ", ".join(self.absent_classes) or "none"
        text = f"Absent classes (neither labelled nor predicted): {absent}."
        if self.only_predicted_classes:
            names = ", ".join(self.only_predicted_classes)
            text += f" Predicted but never labelled (IoU 0 in both conventions, no accuracy): {names}."
        return text

    def _class_table(self) -> str:
        rows = ["| class | IoU | accuracy | labelled points |", "|---|---|---|---|"]
        columns = self.matrix.iou().tolist(), self.matrix.accuracy().tolist(), self.matrix.labelled.tolist()
        for name, iou, accuracy, labelled in zip(self.names, *columns):
            rows.append(f"| {name} | {_percent(iou)} | {_percent(accuracy)} | {labelled:,} |")
        return "\n".join(rows)

    def write(self, folder: Path) -> None:
        """Write ``results.json`` and ``results.md``; each appears when it is complete."""
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "results.json", json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n")
        _write(folder / "results.md", self.as_markdown())


def scores(matrix: ConfusionMatrix) -> dict[str, Any]:
    """Means of a confusion matrix in both conventions about absent classes; ``None`` without a label."""
    return {
        "miou": {absent: _finite(matrix.mean_iou(absent=absent)) for absent in CONVENTIONS},
        "macc": {absent: _finite(matrix.mean_accuracy(absent=absent)) for absent in CONVENTIONS},
        "oa": _finite(matrix.overall_accuracy()),
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _percent(number: float | None) -> str:
    return "-" if number is None or math.isnan(number) else f"{100 * number:.2f}"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
