"""Results of an evaluation as JSON and Markdown, never without the protocol they were made by."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pcseg.data.schemas import class_groups
from pcseg.errors import UserError, reason
from pcseg.files import write_json, write_text
from pcseg.metrics.boundary import BoundaryCounts
from pcseg.metrics.confusion import Absent, ConfusionMatrix
from pcseg.metrics.rooms import RoomMatrices, bootstrap_intervals, read_rooms, write_rooms
from pcseg.metrics.scannet import result_file

ROOMS_NAME = "rooms.npz"
"""File of the confusion matrices of all rooms, beside the results."""

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
        first: Confusion matrix of the first pass alone, where the scores of several were averaged.
        boundary: Points near the boundaries of classes.
        rooms: Confusion matrix of every room, for intervals.
        ids: Identifiers of the classes in ScanNet's files; its result file is written too.
    """

    protocol: dict[str, Any]
    names: tuple[str, ...]
    matrix: ConfusionMatrix
    baselines: dict[str, ConfusionMatrix]
    first: ConfusionMatrix | None = None
    boundary: BoundaryCounts | None = None
    rooms: RoomMatrices | None = None
    ids: tuple[int, ...] | None = None

    def __add__(self, other: "Report") -> "Report":
        """Both splits together, with the protocol of the first and without baselines."""
        assert self.names == other.names, "reports of different classes do not add up"
        return replace(
            self,
            matrix=self.matrix + other.matrix,
            baselines={},
            first=_sum(self.first, other.first),
            boundary=_sum(self.boundary, other.boundary),
            rooms=_sum(self.rooms, other.rooms),
        )

    @property
    def absent_classes(self) -> list[str]:
        """Classes that are neither labelled nor predicted: they make the two conventions differ."""
        return self._names_where(self.matrix.absent)

    @property
    def only_predicted_classes(self) -> list[str]:
        """Classes that are predicted but never labelled: their IoU is 0, their accuracy does not exist."""
        return self._names_where((self.matrix.labeled == 0) & (self.matrix.predicted > 0))

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]] | None:
        """95 % intervals of the scores over resampled rooms; ``None`` for fewer than two rooms or no label."""
        if self.rooms is None or not self.matrix.labeled.any():
            return None
        return bootstrap_intervals(self.rooms)

    def _names_where(self, mask: Tensor) -> list[str]:
        return [name for name, chosen in zip(self.names, mask.tolist()) if chosen]

    def as_dict(self) -> dict[str, Any]:
        """Plain data: scores in 0..1, ``None`` where a score does not exist."""
        columns = (self.matrix.iou(), self.matrix.accuracy(), self.matrix.labeled, self.matrix.predicted)
        classes = zip(self.names, *(column.tolist() for column in columns))
        return {
            "scores": scores(self.matrix),
            "groups": self._group_scores(self.matrix),
            "single_pass": None if self.first is None else scores(self.first),
            "single_pass_groups": None if self.first is None else self._group_scores(self.first),
            "single_pass_confusion": None if self.first is None else self.first.counts.tolist(),
            "interval_over_rooms": self.intervals,
            "boundary": self._boundary_dict(),
            "absent_classes": self.absent_classes,
            "only_predicted_classes": self.only_predicted_classes,
            "classes": [
                {
                    "name": name,
                    "iou": _finite(iou),
                    "accuracy": _finite(accuracy),
                    "labeled": n,
                    "predicted": m,
                }
                for name, iou, accuracy, n, m in classes
            ],
            "baselines": {name: scores(matrix) for name, matrix in self.baselines.items()},
            "confusion": self.matrix.counts.tolist(),
            "ids": self.ids,
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
                    *self._group_table(),
                    *self._interval_sentence(),
                    *self._boundary_sentence(),
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
        rivals = self.baselines
        if self.first is not None:
            rows[0] = rows[0].replace("in percent", f"in percent, {self.protocol['passes']} passes averaged")
            rivals = {"this model, single pass": self.first, **self.baselines}
        for name, matrix in {"**this model**": self.matrix, **rivals}.items():
            means = scores(matrix)
            present = int((~matrix.absent).sum())
            for convention, text in CONVENTIONS.items():
                numbers = means["miou"][convention], means["macc"][convention], means["oa"]
                meaning = text.format(present=present, all=matrix.num_classes)
                rows.append(f"| {name} | {' | '.join(map(_percent, numbers))} | {meaning} |")
        return "\n".join(rows)

    def _group_scores(self, matrix: ConfusionMatrix) -> dict[str, Any]:
        """Means over the groups of classes that the field reports, by name; empty without such groups."""
        return {group: scores(matrix, classes) for group, classes in class_groups(self.names).items()}

    def _group_table(self) -> list[str]:
        """One table, or none for classes without groups."""
        rows = ["| group of classes | mIoU | mAcc | mean over |", "|---|---|---|---|"]
        groups = class_groups(self.names)
        for group, classes in groups.items():
            means = scores(self.matrix, classes)
            present = int((~self.matrix.absent[list(classes)]).sum())
            for convention, text in CONVENTIONS.items():
                numbers = means["miou"][convention], means["macc"][convention]
                meaning = text.format(present=present, all=len(classes))
                rows.append(f"| {group} | {' | '.join(map(_percent, numbers))} | {meaning} |")
        return ["\n".join(rows)] if groups else []

    def _interval_sentence(self) -> list[str]:
        """One paragraph, or none without rooms."""
        if self.rooms is None or self.intervals is None:
            return []
        low_high = [
            f"{name} {_percent(self.intervals[key][0])} to {_percent(self.intervals[key][1])}"
            for key, name in (("miou", "mIoU"), ("macc", "mAcc"), ("oa", "OA"))
        ]
        rooms = len(self.rooms.names)
        return [f"95 % intervals over resamples of the {rooms} rooms (bootstrap): {', '.join(low_high)}."]

    def _boundary_sentence(self) -> list[str]:
        if self.boundary is None:
            return []
        text = (
            f"Boundary IoU, mean over the classes that meet another one: {_percent(self.boundary.mean_iou())}"
        )
        return [f"{text} (points within {self.boundary.width:g} to {2 * self.boundary.width:g} m)."]

    def _boundary_dict(self) -> dict[str, Any] | None:
        if self.boundary is None:
            return None
        iou = dict(zip(self.names, map(_finite, self.boundary.iou().tolist())))
        return {
            "width": self.boundary.width,
            "mean_iou": _finite(self.boundary.mean_iou()),
            "iou": iou,
            "intersection": self.boundary.intersection.tolist(),
            "union": self.boundary.union.tolist(),
        }

    def _absent_sentence(self) -> str:
        absent = ", ".join(self.absent_classes) or "none"
        text = f"Absent classes (neither labelled nor predicted): {absent}."
        if self.only_predicted_classes:
            names = ", ".join(self.only_predicted_classes)
            text += f" Predicted but never labelled (IoU 0 in both conventions, no accuracy): {names}."
        return text

    def _class_table(self) -> str:
        columns = {"IoU": self.matrix.iou(), "accuracy": self.matrix.accuracy()}
        if self.boundary is not None:
            columns["boundary IoU"] = self.boundary.iou()
        rows = [f"| class | {' | '.join(columns)} | labelled points |", "|---" * (len(columns) + 2) + "|"]
        shares = zip(*(column.tolist() for column in columns.values()))
        for name, row, labelled in zip(self.names, shares, self.matrix.labeled.tolist()):
            rows.append(f"| {name} | {' | '.join(map(_percent, row))} | {labelled:,} |")
        return "\n".join(rows)

    def write(self, folder: Path) -> None:
        """Write ``results.json``, ``results.md`` and what there is of ``rooms.npz`` and ``scannet.txt``.

        Each appears when it is complete, ``results.json`` as the last one.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if self.rooms is not None:
            write_rooms(folder / ROOMS_NAME, self.rooms)
        if self.ids is not None:
            write_text(folder / "scannet.txt", result_file(self.matrix, self.names, self.ids))
        write_text(folder / "results.md", self.as_markdown())
        write_json(folder / "results.json", self.as_dict())


def read_report(folder: Path) -> Report:
    """Read :meth:`Report.write`, without baselines.

    Raises:
        UserError: No results, or damaged ones.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise UserError(f"{path}: no results; make them with scripts/evaluate.py")
    try:
        fields = json.loads(path.read_text())
        names = tuple(str(entry["name"]) for entry in fields["classes"])
        first, boundary, ids = fields["single_pass_confusion"], fields["boundary"], fields["ids"]
        report = Report(
            protocol=dict(fields["protocol"]),
            names=names,
            matrix=ConfusionMatrix(len(names), torch.tensor(fields["confusion"])),
            baselines={},
            first=None if first is None else ConfusionMatrix(len(names), torch.tensor(first)),
            boundary=None if boundary is None else BoundaryCounts(
                width=boundary["width"],
                intersection=torch.tensor(boundary["intersection"]),
                union=torch.tensor(boundary["union"]),
            ),
            ids=None if ids is None else tuple(ids),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: damaged ({type(error).__name__}: {reason(error)}); evaluate again"
        ) from error
    rooms = read_rooms(folder / ROOMS_NAME)
    if not torch.equal(rooms.total().counts, report.matrix.counts):
        raise UserError(f"{folder}: {ROOMS_NAME} and results.json are not of one evaluation; evaluate again")
    return replace(report, rooms=rooms)


def scores(matrix: ConfusionMatrix, classes: Sequence[int] | None = None) -> dict[str, Any]:
    """Means of a confusion matrix in both conventions about absent classes; ``None`` without a label.

    Args:
        matrix: Of the whole split.
        classes: Only these, and without the overall accuracy, which is of points, not of classes.
    """
    means = {
        "miou": {absent: _finite(matrix.mean_iou(absent=absent, classes=classes)) for absent in CONVENTIONS},
        "macc": {
            absent: _finite(matrix.mean_accuracy(absent=absent, classes=classes)) for absent in CONVENTIONS
        },
    }
    return means if classes is not None else {**means, "oa": _finite(matrix.overall_accuracy())}


def _sum(first: Any, second: Any) -> Any:
    return None if first is None or second is None else first + second


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _percent(number: float | None) -> str:
    return "-" if number is None or math.isnan(number) else f"{100 * number:.2f}"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
