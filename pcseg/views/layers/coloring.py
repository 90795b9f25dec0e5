"""The colours of the points of a picture, and the legend that explains them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from pcseg.errors import UserError
from pcseg.labels import UNLABELED, LabelSchema, Palette, class_colors
from pcseg.views.layers.palette import RIGHT, WRONG, scale_table
from pcseg.views.subject import Subject

By = Literal[
    "rgb", "label", "prediction", "error", "confidence", "height",
    "affinity", "codeword", "attention", "gain", "context",
]  # fmt: skip
"""The first six need a cloud and a prediction, the others (:mod:`pcseg.views.layers.head_layers`) a model."""

NAMES: dict[str, str] = {
    "rgb": "colour", "label": "true label", "prediction": "prediction", "error": "error",
    "confidence": "confidence", "height": "height",
}  # fmt: skip

NO_CLASS = "no class"

NOTHING = 255
"""Place in the table of an amount's colours that stands for no amount."""


@dataclass(kw_only=True)
class Layer:
    """One colouring of a subject: a table of colours, and a place in it for every site.

    Args:
        by: What the colours mean.
        title: The same in words.
        index: Place in ``table`` of every site, ``(M,)`` uint8; empty if ``rgb`` is given.
        table: Colours ``(P, 3)`` uint8.
        site: Site of every point, ``(N,)``; without it the points are the sites.
        rgb: Colours of the points themselves ``(N, 3)`` uint8, instead.
        names: What each place of ``table`` stands for, where those are kinds; two kinds may have one colour.
        legend: Text and colour of each entry, in the order of the classes.
        scale: The ends of a colour scale, for colours that are amounts; their colours are ``table[:255]``.
        span: The amounts at its ends.
        note: What holds for this picture alone, to be said after the title.
    """

    by: By
    title: str
    index: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    table: np.ndarray = field(default_factory=lambda: np.empty((0, 3), np.uint8))
    site: np.ndarray | None = None
    rgb: np.ndarray | None = None
    names: tuple[str, ...] = ()
    legend: list[tuple[str, tuple[int, int, int]]] = field(default_factory=list)
    scale: tuple[str, str] | None = None
    span: tuple[float, float] = (0.0, 1.0)
    note: str = ""

    @property
    def heading(self) -> str:
        """Title and note."""
        return f"{self.title}: {self.note}" if self.note else self.title

    @property
    def color(self) -> np.ndarray:
        """``(N, 3)`` uint8."""
        if self.rgb is not None:
            return self.rgb
        color = self.table[self.index]
        return color if self.site is None else color[self.site]

    def take(self, rows: np.ndarray) -> "Layer":
        """The colouring of some of the points; its legend stays that of all."""
        if self.rgb is not None:
            return replace(self, rgb=self.rgb[rows])
        if self.site is not None:
            return replace(self, site=self.site[rows])
        return replace(self, index=self.index[rows])


def make_layer(subject: Subject, by: By, *, palette: Palette = "canonical") -> Layer:
    """Colour ``subject`` by one of its fields.

    Raises:
        UserError: The subject lacks the field, or ``by`` needs a model.
    """
    if by not in NEEDS:
        raise UserError(f"{subject.name}: colours by {by} show what a head does; give --ckpt FILE")
    for needed, remedy in NEEDS[by]:
        if getattr(subject, needed) is None:
            raise UserError(f"{subject.name}: no {needed} to colour by {by}; {remedy}")
    title = NAMES[by]
    if by == "rgb":
        return Layer(by=by, title=title, rgb=np.asarray(subject.color))
    if by == "height":
        low, high = np.percentile(subject.pos[:, 2], (1, 99))
        values = (subject.pos[:, 2] - low) / max(high - low, 1e-6)
        return amount_layer(values, by, title, scale=(f"{low:.1f} m", f"{high:.1f} m"))
    if by == "confidence":
        missing = np.asarray(subject.prediction) < 0
        return amount_layer(np.asarray(subject.confidence), by, title, scale=("0", "1"), missing=missing)
    if by == "error":
        return error_layer(np.asarray(subject.label), np.asarray(subject.prediction))
    label = np.asarray(getattr(subject, by))
    return class_layer(label, by, title, schema=subject.schema, palette=palette)


PREDICT = "give --prediction FILE from scripts/predict.py or scripts/evaluate.py, or --ckpt FILE"
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


def amount_layer(
    values: np.ndarray,
    by: By,
    title: str,
    *,
    scale: tuple[str, str],
    missing: np.ndarray | None = None,
    nothing: tuple[int, int, int] = UNLABELED,
    diverging: bool = False,
    site: np.ndarray | None = None,
) -> Layer:
    """Colours of amounts in 0..1; where ``missing`` the colour ``nothing``.

    Args:
        values: ``(M,)``; what lies outside 0..1 is taken as its end.
        by: What the colours mean.
        title: The same in words.
        scale: What 0 and 1 stand for.
        missing: ``(M,)`` bool.
        nothing: Colour of what is missing.
        diverging: Take a scale that is pale in its middle.
        site: Site of every point, see :class:`Layer`.
    """
    index = np.rint(np.clip(np.nan_to_num(values), 0, 1) * (NOTHING - 1)).astype(np.uint8)
    if missing is not None:
        index[missing] = NOTHING
    table = np.concatenate([scale_table(NOTHING, diverging=diverging), [nothing]]).astype(np.uint8)
    return Layer(by=by, title=title, index=index, table=table, site=site, scale=scale)


def class_layer(
    label: np.ndarray, by: By, title: str, *, schema: LabelSchema | None, palette: Palette
) -> Layer:
    """Colours of classes; the legend has the classes present and their shares."""
    assert schema is not None, "labels come with a schema"
    return named_layer(label, by, title, names=schema.names, colors=class_colors(schema, palette))


def named_layer(
    label: np.ndarray,
    by: By,
    title: str,
    *,
    names: Sequence[str],
    colors: np.ndarray,
    site: np.ndarray | None = None,
) -> Layer:
    """Colours of kinds ``label`` ``(M,)``, -1 for none; ``colors`` has one more row than ``names``, for none."""
    counts = np.bincount(
        (label if site is None else label[site]).astype(np.int64) + 1, minlength=len(names) + 1
    )
    total = counts.sum()
    kinds = (*names, NO_CLASS)
    legend = [
        (f"{name}  {share(count, total)}", _triple(color))
        for name, color, count in zip(kinds, colors, [*counts[1:], counts[0]])
        if count
    ]
    # -1 is the last row of the table
    index = np.where(label < 0, len(names), label).astype(np.uint8 if len(names) < 256 else np.uint16)
    return Layer(
        by=by, title=title, index=index, table=np.asarray(colors), site=site, names=kinds, legend=legend
    )


def error_layer(label: np.ndarray, prediction: np.ndarray) -> Layer:
    """Right and wrong points; those without a true class do not count."""
    colors = np.array([RIGHT, WRONG, UNLABELED], dtype=np.uint8)
    kind = np.where(label < 0, 2, np.where(label == prediction, 0, 1)).astype(np.uint8)
    counts = np.bincount(kind, minlength=3)
    known = counts[0] + counts[1]
    entries = [("right", counts[0], known), ("wrong", counts[1], known), ("no label", counts[2], len(label))]
    legend = [
        (f"{name}  {share(count, total)}", _triple(color))
        for (name, count, total), color in zip(entries, colors)
        if count
    ]
    names = tuple(name for name, _, _ in entries)
    return Layer(by="error", title=NAMES["error"], index=kind, table=colors, names=names, legend=legend)


def share(count: int, total: int) -> str:
    """``count`` of ``total`` in percent, never 0 for something."""
    percent = 100 * count / max(total, 1)
    return f"{percent:.1f} %" if percent >= 0.1 else "<0.1 %"


def _triple(color: np.ndarray) -> tuple[int, int, int]:
    return int(color[0]), int(color[1]), int(color[2])
