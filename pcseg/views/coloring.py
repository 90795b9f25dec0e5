"""The colours of the points of a picture, and the legend that explains them."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pcseg.errors import UserError
from pcseg.labels import LabelSchema
from pcseg.views.palette import RIGHT, UNLABELLED, WRONG, Palette, class_colors, scale_colors
from pcseg.views.subject import Subject

By = Literal["rgb", "label", "prediction", "error", "confidence", "height"]


NO_CLASS = "no class"


@dataclass(kw_only=True)
class Layer:
    """One colouring of a subject.

    Args:
        by: What the colours mean.
        color: ``(N, 3)`` uint8.
        legend: Text and colour of each entry, in the order of the classes.
        scale: The ends of a colour scale, for colours that are amounts.
    """

    by: By
    color: np.ndarray
    legend: list[tuple[str, tuple[int, int, int]]] = field(default_factory=list)
    scale: tuple[str, str] | None = None


def make_layer(subject: Subject, by: By, *, palette: Palette = "canonical") -> Layer:
    """Colour ``subject`` by one of its fields.

    Raises:
        UserError: The subject lacks the field.
    """
    for needed, remedy in NEEDS[by]:
        if getattr(subject, needed) is None:
            raise UserError(f"{subject.name}: no {needed} to colour by {by}; {remedy}")
    if by == "rgb":
        return Layer(by=by, color=np.asarray(subject.color))
    if by == "height":
        low, high = np.percentile(subject.pos[:, 2], (1, 99))
        color = scale_colors((subject.pos[:, 2] - low) / max(high - low, 1e-6))
        return Layer(by=by, color=color, scale=(f"{low:.1f} m", f"{high:.1f} m"))
    if by == "confidence":
        color = scale_colors(np.asarray(subject.confidence))
        color[np.asarray(subject.prediction) < 0] = UNLABELLED
        return Layer(by=by, color=color, scale=("0", "1"))
    if by == "error":
        return error_layer(np.asarray(subject.label), np.asarray(subject.prediction))
    return class_layer(np.asarray(getattr(subject, by)), by, schema=subject.schema, palette=palette)


PREDICT = "give --prediction FILE from scripts/predict.py or scripts/evaluate.py"
LABELS = "only prepared scenes (.h5) have true labels"
NEEDS: dict[str, tuple[tuple[str, str], ...]] = {
    "rgb": (("color", "colour by height"),),
    "height": (),
    "label": (("label", LABELS),),
    "prediction": (("prediction", PREDICT),),
    "confidence": (("confidence", PREDICT),),
    "error": (("label", LABELS), ("prediction", PREDICT)),
}


def available(subject: Subject) -> list[By]:
    """The colourings for which ``subject`` has the fields."""
    ways: tuple[By, ...] = ("rgb", "label", "prediction", "error", "confidence", "height")
    return [by for by in ways if all(getattr(subject, needed) is not None for needed, _ in NEEDS[by])]


def class_layer(label: np.ndarray, by: By, *, schema: LabelSchema | None, palette: Palette) -> Layer:
    """Colours of classes; the legend has the classes present and their shares."""
    assert schema is not None, "labels come with a schema"
    colors = class_colors(schema, palette)
    counts = np.bincount(label.astype(np.int64) + 1, minlength=schema.num_classes + 1)
    legend = [
        (f"{name}  {share(count, len(label))}", _triple(color))
        for name, color, count in zip([*schema.names, NO_CLASS], colors, [*counts[1:], counts[0]])
        if count
    ]
    return Layer(by=by, color=colors[label.astype(np.int64)], legend=legend)


def error_layer(label: np.ndarray, prediction: np.ndarray) -> Layer:
    """Right and wrong points; those without a true class do not count."""
    colors = np.array([RIGHT, WRONG, UNLABELLED], dtype=np.uint8)
    kind = np.where(label < 0, 2, np.where(label == prediction, 0, 1))
    counts = np.bincount(kind, minlength=3)
    known = counts[0] + counts[1]
    entries = [("right", counts[0], known), ("wrong", counts[1], known), ("no label", counts[2], len(label))]
    legend = [
        (f"{name}  {share(count, total)}", _triple(color))
        for (name, count, total), color in zip(entries, colors)
        if count
    ]
    return Layer(by="error", color=colors[kind], legend=legend)


def share(count: int, total: int) -> str:
    """``count`` of ``total`` in percent, never 0 for something."""
    percent = 100 * count / max(total, 1)
    return f"{percent:.1f} %" if percent >= 0.1 else "<0.1 %"


def _triple(color: np.ndarray) -> tuple[int, int, int]:
    return int(color[0]), int(color[1]), int(color[2])
