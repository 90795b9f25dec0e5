"""Report of a comparison: one row per class and one column per model, on all points and on those that frames see."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pcseg.evaluation.report import scores
from pcseg.evaluation.tables import compact_json, finite, percent, provenance_list, table
from pcseg.files import write_texts
from pcseg.metrics.confusion import ConfusionMatrix

AVERAGE = "average"
"""Name of the column for the average of all models."""


class ComparisonReport:
    """Count the predictions of several models on the same points.

    ``everywhere`` has the confusion matrix of all points by column, where a point that no frame sees is a miss of
    image models; ``covered`` has that of the points that a frame sees.

    :data:`AVERAGE` is added to the columns of ``models``. ``provenance`` is all that the numbers depend on.
    """

    def __init__(self, models: Sequence[str], *, names: tuple[str, ...], provenance: dict[str, Any]) -> None:
        self.names, self.provenance = names, provenance
        self.everywhere = {name: ConfusionMatrix(len(names)) for name in (*models, AVERAGE)}
        self.covered = {name: ConfusionMatrix(len(names)) for name in (*models, AVERAGE)}

    def add(self, name: str, label: np.ndarray, truth: np.ndarray, covered: np.ndarray) -> None:
        """Count the points of a room for one column; predictions, labels and coverage ``(N,)``."""
        pred, target = torch.from_numpy(label.astype(np.int64)), torch.from_numpy(truth.astype(np.int64))
        self.everywhere[name].update(pred, target)
        mask = torch.from_numpy(covered)
        self.covered[name].update(pred[mask], target[mask])

    @property
    def labeled(self) -> torch.Tensor:
        """Number of labeled points of every class, ``(K,)``."""
        return self.everywhere[AVERAGE].labeled

    @property
    def seen(self) -> torch.Tensor:
        """Number of labeled points of every class that a frame sees, ``(K,)``."""
        return self.covered[AVERAGE].labeled

    @property
    def coverage(self) -> float:
        """Share of the labeled points that a frame sees."""
        return float(self.seen.sum() / self.labeled.sum().clamp(min=1))

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data: scores in 0..1, ``None`` for scores that do not exist."""
        shares = (self.seen / self.labeled).tolist()
        iou, iou_covered = (
            {name: matrix.iou().tolist() for name, matrix in matrices.items()}
            for matrices in (self.everywhere, self.covered)
        )
        return {
            "coverage": self.coverage,
            "columns": list(self.everywhere),
            "all_points": {name: scores(matrix) for name, matrix in self.everywhere.items()},
            "covered_points": {name: scores(matrix) for name, matrix in self.covered.items()},
            "classes": [
                {
                    "name": name,
                    "labeled": int(self.labeled[k]),
                    "coverage": finite(shares[k]),
                    "iou": {column: finite(values[k]) for column, values in iou.items()},
                    "iou_covered": {column: finite(values[k]) for column, values in iou_covered.items()},
                }
                for k, name in enumerate(self.names)
            ],
            "provenance": self.provenance,
        }

    def as_markdown(self) -> str:
        """Return the report as a Markdown page, in percent."""
        paragraphs = [
            f"# Points and images compared: {self.provenance['release']}, {', '.join(self.provenance['splits'])}",
            f"{self.provenance['scenes']} rooms that no model saw in training, {int(self.labeled.sum()):,} labeled "
            f"points. Frames see {100 * self.coverage:.1f} % of them.",
            "## IoU on all points (a point that no frame sees is a miss of image models)",
            self._table(self.everywhere),
            "## IoU on points that a frame sees",
            self._table(self.covered),
            "## Provenance",
            provenance_list(self.provenance),
        ]
        return "\n\n".join(paragraphs) + "\n"

    def _table(self, matrices: dict[str, ConfusionMatrix]) -> str:
        columns = [matrix.iou().tolist() for matrix in matrices.values()]
        columns.append((self.seen / self.labeled).tolist())
        rows = [[name, *(percent(share, 1) for share in row)] for name, *row in zip(self.names, *columns)]
        for title, score, last in (
            ("**mIoU**", ConfusionMatrix.mean_iou, ""),
            ("**mAcc**", ConfusionMatrix.mean_accuracy, ""),
            ("**OA**", ConfusionMatrix.overall_accuracy, percent(self.coverage, 1)),
        ):
            rows.append([title, *(percent(score(matrix), 1) for matrix in matrices.values()), last])
        return table(["class", *matrices, "seen by frames"], rows)

    def write(self, folder: Path) -> None:
        """Write ``comparison.md`` and ``comparison.json``."""
        texts = {"comparison.md": self.as_markdown(), "comparison.json": compact_json(self.as_dict())}
        write_texts({folder / name: text for name, text in texts.items()})
