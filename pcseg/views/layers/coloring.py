"""Layers: the color of each point of a subject, and the legend that explains the colors."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pcseg.errors import UserError
from pcseg.labels import UNLABELED, Palette, class_colors
from pcseg.views.subject import Subject

Color = tuple[int, int, int]

CORRECT: Color = (205, 210, 215)
WRONG: Color = (213, 30, 40)

SEQUENTIAL = ((68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140), (40, 174, 128), (94, 201, 98),
              (173, 220, 48), (253, 231, 37))  # fmt: skip
DIVERGING = ((180, 4, 38), (222, 97, 77), (244, 154, 123), (244, 197, 173), (220, 221, 221), (183, 207, 249),
             (140, 175, 254), (97, 128, 233), (59, 76, 192))  # fmt: skip
"""Nine colors of matplotlib's ``viridis``, whose brightness gives the order, and of ``coolwarm_r``, gray in the middle.

Copied, because the import of matplotlib takes longer than a picture.
"""

By = Literal[
    "rgb", "label", "prediction", "error", "confidence", "height", "features",
    "affinity", "codeword", "slabs", "attention", "gain", "context",
]  # fmt: skip
"""The first seven need fields of a subject, the others (:mod:`pcseg.views.layers.head_layers`) a model."""

TITLES: dict[By, str] = {
    "rgb": "color", "label": "true label", "prediction": "prediction", "error": "error",
    "confidence": "confidence", "height": "height", "features": "principal components of the features",
}  # fmt: skip

PREDICT = "Pass --prediction FILE (made by scripts/predict.py or scripts/evaluate.py) or --ckpt FILE"
LABELS = "Only prepared scenes (.h5) and frames have true labels"
NEEDS: dict[By, tuple[tuple[str, str], ...]] = {
    "rgb": (("color", "Use --by height"),),
    "label": (("label", LABELS),),
    "prediction": (("prediction", PREDICT),),
    "error": (("label", LABELS), ("prediction", PREDICT)),
    "confidence": (("confidence", PREDICT),),
    "height": (),
    "features": (("features", "Pass --encoder FILE, weights of Utonia, Concerto or Sonata, or --ckpt FILE"),),
}
"""Fields of the subject that each layer needs, and how to get them."""

NO_CLASS = "no class"

MISSING = 255
"""Row of the color table of a value layer that means "no value"."""


@dataclass(frozen=True, kw_only=True)
class Coloring:
    """Meaning of the colors of a view.

    Args:
        by, of, palette: As for ``pcseg visualize``.
        point: Row of the point whose ``attention`` is shown; default: the point nearest the center.
    """

    by: By
    of: str | None = None
    point: int | None = None
    palette: Palette = "canonical"


@dataclass(kw_only=True)
class Layer:
    """One coloring of a subject: a color table and an index into it.

    Args:
        by: Kind of layer.
        title: Description in words.
        index: Row of ``table`` for every point ``(N,)``, or for every token ``(T,)`` if ``token`` is given; empty if
            ``rgb`` is given.
        table: Colors ``(P, 3)`` uint8.
        token: Token of every point ``(N,)``, -1 (the last one) for none.
        rgb: Colors of the points ``(N, 3)`` uint8, instead of an index.
        names: Meaning of each row of ``table`` for categories; two categories may share a color.
        legend: Text and color of each entry, in class order.
        scale: Labels at the low and high end of a color scale, for values; its colors are ``table[:255]``.
        span: Values at the ends of the scale.
        note: Numbers of this layer that follow the title.
    """

    by: By
    title: str
    index: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    table: np.ndarray = field(default_factory=lambda: np.empty((0, 3), np.uint8))
    token: np.ndarray | None = None
    rgb: np.ndarray | None = None
    names: tuple[str, ...] = ()
    legend: list[tuple[str, Color]] = field(default_factory=list)
    scale: tuple[str, str] | None = None
    span: tuple[float, float] = (0.0, 1.0)
    note: str = ""

    @property
    def heading(self) -> str:
        """Title and note."""
        return f"{self.title}: {self.note}" if self.note else self.title

    @property
    def color(self) -> np.ndarray:
        """Color of every point, ``(N, 3)`` uint8."""
        return self.color_of(slice(None))

    def color_of(self, points: np.ndarray | slice) -> np.ndarray:
        """Return the colors of the points with these row numbers, ``(*points.shape, 3)`` uint8."""
        if self.rgb is not None:
            return self.rgb[points]
        return self.table[self.index[points if self.token is None else self.token[points]]]


def available(subject: Subject) -> list[By]:
    """Return the layers for which ``subject`` has the fields."""
    return [by for by, needs in NEEDS.items() if all(getattr(subject, need) is not None for need, _ in needs)]


def make_layer(subject: Subject, by: By, *, palette: Palette = "canonical") -> Layer:
    """Color ``subject`` by one of its fields.

    Raises:
        UserError: The subject lacks the field, or ``by`` is not one of :data:`NEEDS`.
    """
    if by not in NEEDS:
        raise UserError(f"{subject.name}: --by {by} shows the internals of a head. Pass --ckpt FILE.")
    for need, remedy in NEEDS[by]:
        if getattr(subject, need) is None:
            raise UserError(f"{subject.name}: no {need} to color by {by}. {remedy}.")
    title = TITLES[by]
    if by in ("rgb", "features"):
        return Layer(by=by, title=title, rgb=np.asarray(subject.color if by == "rgb" else subject.features))
    if by == "height":
        low, high = np.percentile(subject.pos[:, 2], (1, 99))
        values = (subject.pos[:, 2] - low) / max(high - low, 1e-6)
        return value_layer(values, by, title, scale=(f"{low:.1f} m", f"{high:.1f} m"))
    if by == "confidence":
        missing = np.asarray(subject.prediction) < 0
        return value_layer(np.asarray(subject.confidence), by, title, scale=("0", "1"), missing=missing)
    if by == "error":
        return error_layer(np.asarray(subject.label), np.asarray(subject.prediction))
    assert subject.schema is not None, "labels come with a schema"
    label, colors = np.asarray(getattr(subject, by)), class_colors(subject.schema, palette)
    return category_layer(label, by, title, names=subject.schema.names, colors=colors)


def value_layer(
    values: np.ndarray,
    by: By,
    title: str,
    *,
    scale: tuple[str, str],
    span: tuple[float, float] = (0.0, 1.0),
    note: str = "",
    missing: np.ndarray | None = None,
    missing_color: Color = UNLABELED,
    diverging: bool = False,
    token: np.ndarray | None = None,
) -> Layer:
    """Color values of points, or of tokens if ``token`` is given, by a scale from 0 to 1 with ends ``scale``."""
    index = np.rint(np.clip(np.nan_to_num(values), 0, 1) * (MISSING - 1)).astype(np.uint8)
    if missing is not None:
        index[missing] = MISSING
    table = np.concatenate([color_scale(MISSING, diverging=diverging), [missing_color]]).astype(np.uint8)
    return Layer(by=by, title=title, index=index, table=table, token=token, scale=scale, span=span, note=note)


def category_layer(
    label: np.ndarray,
    by: By,
    title: str,
    *,
    names: Sequence[str],
    colors: np.ndarray,
    token: np.ndarray | None = None,
) -> Layer:
    """Color categories (-1: none) of points, or of tokens if ``token`` is given.

    ``colors`` has one more row than ``names``, for -1. The legend lists the categories that occur, with their share
    of the points.
    """
    of_points = label if token is None else label[token]
    counts = np.bincount(of_points.astype(np.int64) + 1, minlength=len(names) + 1)
    all_names, counts = (*names, NO_CLASS), np.roll(counts, -1)
    index = np.where(label < 0, len(names), label).astype(np.uint8 if len(names) < 256 else np.uint16)
    legend = shares_legend(all_names, colors, counts, np.full(len(counts), len(of_points)))
    return Layer(by=by, title=title, index=index, table=colors, token=token, names=all_names, legend=legend)


def error_layer(label: np.ndarray, prediction: np.ndarray) -> Layer:
    """Color correct and wrong points; the shares are of the points with a true class."""
    names, colors = ("correct", "wrong", "no label"), np.array([CORRECT, WRONG, UNLABELED], np.uint8)
    index = np.where(label < 0, 2, np.where(label == prediction, 0, 1)).astype(np.uint8)
    counts = np.bincount(index, minlength=3)
    known = counts[0] + counts[1]
    legend = shares_legend(names, colors, counts, np.array([known, known, len(label)]))
    return Layer(by="error", title=TITLES["error"], index=index, table=colors, names=names, legend=legend)


def choose_column(of: str, choices: Sequence[str], *, kind: str) -> int:
    """Return the number of the class or codeword that ``--of`` names, or raise :class:`UserError`."""
    if of not in choices:
        raise UserError(f"--of {of}: unknown {kind}. Choose from: {', '.join(choices)}.")
    return choices.index(of)


def shares_legend(
    names: Sequence[str], colors: np.ndarray, counts: np.ndarray, totals: np.ndarray
) -> list[tuple[str, Color]]:
    """Return entries of the categories that occur, with their share; a small one is "<0.1 %", never "0.0 %"."""
    entries: list[tuple[str, Color]] = []
    for name, (red, green, blue), count, total in zip(names, colors.tolist(), counts, totals):
        share = 100 * count / max(total, 1)
        if count:
            entries.append(
                (f"{name}  {share:.1f} %" if share >= 0.1 else f"{name}  <0.1 %", (red, green, blue))
            )
    return entries


def distinct_colors(number: int) -> list[Color]:
    """Return colors for categories without canonical colors; adjacent entries differ clearly."""
    colors = []
    for i in range(number):
        red, green, blue = colorsys.hls_to_rgb(i * 0.618034 % 1, (0.42, 0.66, 0.54)[i % 3], 0.65)
        colors.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colors


def color_scale(size: int, *, diverging: bool = False) -> np.ndarray:
    """Return ``size`` colors ``(size, 3)`` uint8 from the low to the high end of a scale."""
    stops = np.array(DIVERGING if diverging else SEQUENTIAL)
    at, places = np.linspace(0, 1, size), np.linspace(0, 1, len(stops))
    return np.rint(np.stack([np.interp(at, places, part) for part in stops.T], axis=1)).astype(np.uint8)
