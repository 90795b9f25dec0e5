"""Results of an evaluation as JSON and Markdown, always with their provenance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pcseg.data.schemas import class_groups
from pcseg.evaluation.tables import compact_json, finite, percent, provenance_list, scannet_result, table
from pcseg.files import write_texts
from pcseg.metrics.bootstrap import bootstrap_intervals
from pcseg.metrics.confusion import Absent, ConfusionMatrix

CONVENTIONS: dict[Absent, str] = {
    "excluded": "the {present} classes that are labeled or predicted",
    "zero": "all {all} classes, absent ones as 0",
}
"""Classes that the means of each convention cover."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Scores of a model on a split.

    Args:
        provenance: Everything that the numbers depend on.
        names: Class names.
        matrix: Confusion matrix of the whole split.
        baselines: Confusion matrices of baselines by description.
        single_pass: Confusion matrix of the first TTA pass alone, if the scores of several were averaged.
        boundary: Points near class boundaries, ``(2, K)``, see :func:`~pcseg.metrics.boundary.boundary_counts`.
        rooms: Confusion matrix of every room, ``(R, K, K + 1)``, for confidence intervals.
        ids: Ids of the classes in ScanNet's files, if its result file is written too.
        calibration: See :func:`~pcseg.metrics.calibration.calibration_scores`, over points with a predicted class.
    """

    provenance: dict[str, Any]
    names: tuple[str, ...]
    matrix: ConfusionMatrix
    baselines: dict[str, ConfusionMatrix] = field(default_factory=dict)
    single_pass: ConfusionMatrix | None = None
    boundary: Tensor | None = None
    rooms: Tensor | None = None
    ids: tuple[int, ...] | None = None
    calibration: dict[str, Any] | None = None

    def __add__(self, other: "Report") -> "Report":
        """Return the report of both splits together, with the provenance of the first and without baselines."""
        assert self.names == other.names, "reports of different classes cannot be added"
        return replace(
            self,
            matrix=self.matrix + other.matrix,
            baselines={},
            single_pass=_sum(self.single_pass, other.single_pass),
            boundary=_sum(self.boundary, other.boundary),
            rooms=None if self.rooms is None or other.rooms is None else torch.cat([self.rooms, other.rooms]),
        )

    @property
    def absent_classes(self) -> list[str]:
        """Classes that are neither labeled nor predicted; the two conventions differ because of them."""
        return self._names_where(self.matrix.absent)

    @property
    def only_predicted_classes(self) -> list[str]:
        """Classes that are predicted but never labeled: their IoU is 0 and they have no accuracy."""
        return self._names_where((self.matrix.labeled == 0) & (self.matrix.predicted > 0))

    @property
    def boundary_iou(self) -> list[float]:
        """Boundary IoU of every class, ``(K,)``, NaN for a class without a boundary; empty if it was not counted."""
        return [] if self.boundary is None else (self.boundary[0] / self.boundary[1].double()).tolist()

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]] | None:
        """95 % intervals of the scores over resampled rooms; ``None`` for fewer than two rooms or without labels."""
        if self.rooms is None or not self.matrix.labeled.any():
            return None
        return bootstrap_intervals(self.rooms)

    def _names_where(self, mask: Tensor) -> list[str]:
        return [name for name, chosen in zip(self.names, mask.tolist()) if chosen]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data: scores in 0..1, ``None`` for scores that do not exist."""
        columns = (self.matrix.iou(), self.matrix.accuracy(), self.matrix.labeled, self.matrix.predicted)
        classes = zip(self.names, *(column.tolist() for column in columns))
        groups, near = class_groups(self.names), self.boundary_iou
        return {
            "scores": scores(self.matrix),
            "groups": {group: scores(self.matrix, members) for group, members in groups.items()},
            "single_pass": None if self.single_pass is None else scores(self.single_pass),
            "interval_over_rooms": self.intervals,
            "boundary": None
            if not near
            else {
                "width": self.provenance["boundary"],
                "mean_iou": finite(mean(near)),
                "iou": dict(zip(self.names, map(finite, near))),
            },
            "calibration": self.calibration,
            "absent_classes": self.absent_classes,
            "only_predicted_classes": self.only_predicted_classes,
            "classes": [
                {"name": name, "iou": finite(iou), "accuracy": finite(acc), "labeled": n, "predicted": m}
                for name, iou, acc, n, m in classes
            ],
            "baselines": {name: scores(matrix) for name, matrix in self.baselines.items()},
            "confusion": self.matrix.counts.tolist(),
            "confusion_convention": "row = label, column = prediction, last column = no class",
            "provenance": self.provenance,
        }

    def as_markdown(self) -> str:
        """Return the report as a Markdown page, in percent."""
        paragraphs = [
            f"# Semantic segmentation of {self.provenance['release']}, {', '.join(self.provenance['splits'])}",
            self._means_table(),
            self._group_table(),
            self._interval_sentence(),
            self._boundary_sentence(),
            self._calibration(),
            self._absent_sentence(),
            self._class_table(),
            "## Provenance",
            provenance_list(self.provenance),
        ]
        return "\n\n".join(filter(None, paragraphs)) + "\n"

    def _means_table(self) -> str:
        title, matrices = "in percent", {"**this model**": self.matrix}
        if self.single_pass is not None:
            title += f", mean of {self.provenance['passes']} passes"
            matrices["this model, single pass"] = self.single_pass
        rows = [
            row for name, matrix in (matrices | self.baselines).items() for row in _mean_rows(name, matrix)
        ]
        return table([title, "mIoU", "mAcc", "OA", "mean over"], rows)

    def _group_table(self) -> str:
        """Return a table of the class groups, empty for classes without groups."""
        groups = class_groups(self.names)
        rows = [row for group, classes in groups.items() for row in _mean_rows(group, self.matrix, classes)]
        return table(["class group", "mIoU", "mAcc", "mean over"], rows) if groups else ""

    def _interval_sentence(self) -> str:
        if self.rooms is None or self.intervals is None:
            return ""
        ranges = [
            f"{name} {percent(self.intervals[key][0])} to {percent(self.intervals[key][1])}"
            for key, name in (("miou", "mIoU"), ("macc", "mAcc"), ("oa", "OA"))
        ]
        return f"95 % bootstrap intervals over the {len(self.rooms)} rooms: {', '.join(ranges)}."

    def _boundary_sentence(self) -> str:
        if not self.boundary_iou:
            return ""
        width = self.provenance["boundary"]
        return (
            f"Boundary IoU: {percent(mean(self.boundary_iou))}, mean over the classes that have a boundary (points "
            f"within {width:g} to {2 * width:g} m)."
        )

    def _calibration(self) -> str:
        """Return the calibration as a sentence and a table, empty without confidences."""
        if self.calibration is None or not self.calibration["accuracy_at"]:
            return ""
        found = self.calibration
        rows = [
            [f"{low:g}", percent(share, 1), percent(right, 1)] for low, share, right in found["accuracy_at"]
        ]
        return (
            f"Expected calibration error {found['error']:.3f}: a mean confidence of {percent(found['confidence'])} at "
            f"an accuracy of {percent(found['accuracy'])}, over the points with a predicted class.\n\n"
            + table(["confidence at least", "points", "accuracy"], rows)
        )

    def _absent_sentence(self) -> str:
        text = f"Absent classes (neither labeled nor predicted): {', '.join(self.absent_classes) or 'none'}."
        if self.only_predicted_classes:
            names = ", ".join(self.only_predicted_classes)
            text += f" Predicted but never labeled (IoU 0 in both conventions, no accuracy): {names}."
        missing = float(self.matrix.counts[:, -1].sum() / max(1, int(self.matrix.counts.sum())))
        if missing:
            text += (
                f" {percent(missing)} % of the labeled points have no predicted class and count as errors."
            )
        return text

    def _class_table(self) -> str:
        columns = {"IoU": self.matrix.iou().tolist(), "accuracy": self.matrix.accuracy().tolist()}
        if self.boundary_iou:
            columns["boundary IoU"] = self.boundary_iou
        shares = zip(*columns.values())
        rows = [
            [name, *map(percent, row), f"{labeled:,}"]
            for name, row, labeled in zip(self.names, shares, self.matrix.labeled.tolist())
        ]
        return table(["class", *columns, "labeled points"], rows)

    def write(self, folder: Path) -> None:
        """Write ``results.md`` and ``results.json``, and ScanNet's result file where it applies.

        ``results.json`` appears last, so that it marks a complete evaluation.
        """
        texts = {} if self.ids is None else {"scannet.txt": scannet_result(self.matrix, self.names, self.ids)}
        texts |= {"results.md": self.as_markdown(), "results.json": compact_json(self.as_dict())}
        write_texts({folder / name: text for name, text in texts.items()})


def scores(matrix: ConfusionMatrix, classes: Sequence[int] | None = None) -> dict[str, Any]:
    """Return the means of a confusion matrix in both conventions about absent classes; ``None`` without labels.

    Args:
        matrix: Confusion matrix of the whole split.
        classes: Use these classes only, and leave out the overall accuracy, which is a score of points.
    """
    means = {
        "miou": {absent: finite(matrix.mean_iou(absent=absent, classes=classes)) for absent in CONVENTIONS},
        "macc": {
            absent: finite(matrix.mean_accuracy(absent=absent, classes=classes)) for absent in CONVENTIONS
        },
    }
    return means if classes is not None else {**means, "oa": finite(matrix.overall_accuracy())}


def _mean_rows(
    name: str, matrix: ConfusionMatrix, classes: Sequence[int] | None = None
) -> Iterator[list[str]]:
    """Yield the row of a table for each convention about absent classes."""
    means, present = (
        scores(matrix, classes),
        ~matrix.absent[slice(None) if classes is None else list(classes)],
    )
    for convention, text in CONVENTIONS.items():
        numbers = [means["miou"][convention], means["macc"][convention], *([] if classes else [means["oa"]])]
        yield [name, *map(percent, numbers), text.format(present=int(present.sum()), all=len(present))]


def _sum(first: Any, second: Any) -> Any:
    return None if first is None or second is None else first + second


def mean(scores: Sequence[float]) -> float:
    """Return the mean of the scores that exist."""
    return float(torch.tensor(scores, dtype=torch.float64).nanmean())
