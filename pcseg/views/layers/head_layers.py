"""Layers of the internals of a head: affinity to classes, codewords, attention of a point, gain over a baseline."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pcseg.errors import UserError
from pcseg.labels import UNLABELED, class_colors
from pcseg.views.layers.coloring import (
    By,
    Color,
    Coloring,
    Layer,
    available,
    category_layer,
    choose_column,
    distinct_colors,
    make_layer,
    value_layer,
)
from pcseg.views.layers.head_maps import HeadMaps
from pcseg.views.layers.slab_layers import slab_layers
from pcseg.views.subject import Subject

UNREACHED: Color = (205, 210, 215)
"""Color of points that the attention does not reach."""

SMALLEST_WEIGHT = 1e-6
"""Low end of the logarithmic scale of attention, relative to the largest weight."""

MAX_CODEWORDS = 6
"""Number of codewords with a layer of their own: those with the largest mean weight."""

HEAD_MAPS: dict[By, tuple[str, str]] = {
    "affinity": ("affinity", "CTNet heads have one"),
    "codeword": ("assignment", "EncNet heads have them"),
    "slabs": ("slabs", "Heads that read class shares of slabs have them"),
    "attention": ("attend", "CCNet heads have one"),
    "gain": ("baseline", "Pass --baseline FILE, a checkpoint to compare with"),
}
"""The field of :class:`HeadMaps` that each kind of layer shows, and how to get it."""


def head_layer_kinds(maps: HeadMaps | None) -> list[By]:
    """Return the kinds of layers for which a head has the maps."""
    return [by for by, (name, _) in HEAD_MAPS.items() if maps is not None and getattr(maps, name) is not None]


def make_layers(subject: Subject, coloring: Coloring) -> list[Layer]:
    """Return the layers of one coloring: one for fields of the subject, several for most maps of a head.

    ``affinity`` gives the class with the highest affinity, then the affinity to each class that occurs; ``codeword``
    the same for codewords; ``slabs`` one layer per axis; ``attention`` what the point attends to after 1, 2, ...
    recurrences; ``gain`` the probability of the true class (without labels: the predicted class) minus that of the
    baseline.

    Raises:
        UserError: The subject or the head has nothing to color by, or the class or codeword is unknown.
    """
    by, maps = coloring.by, subject.maps
    if by not in HEAD_MAPS or maps is None:
        return [make_layer(subject, by, palette=coloring.palette)]
    field, remedy = HEAD_MAPS[by]
    if getattr(maps, field) is None:
        raise UserError(f"{subject.name}: {maps.head} has no {by} to color by. {remedy}.")
    if by == "affinity":
        return affinity_layers(subject, maps, coloring)
    if by == "codeword":
        return codeword_layers(maps, coloring.of)
    if by == "slabs":
        return slab_layers(subject, maps, coloring)
    if by == "gain":
        return [gain_layer(subject, maps)]
    point = center_point(subject) if coloring.point is None else coloring.point
    return attention_layers(maps, point, tokens="voxels" if subject.pixels is None else "cells")


def browse_layers(subject: Subject, coloring: Coloring) -> tuple[list[Layer], int]:
    """Return every layer of a subject, and the number of the one that ``coloring`` shows first.

    Raises:
        UserError: The subject has no such layer.
    """
    kinds = [*available(subject), *head_layer_kinds(subject.maps)]
    if coloring.by not in kinds:
        choices = ", ".join(kinds)
        raise UserError(f"{subject.name}: nothing to color by {coloring.by}. Choose from: {choices}.")
    layers = [layer for by in kinds for layer in make_layers(subject, replace(coloring, by=by, of=None))]
    if coloring.of is None:
        return layers, [layer.by for layer in layers].index(coloring.by)
    first = make_layers(subject, coloring)
    titles = {layer.title for layer in first}
    return [*first, *(layer for layer in layers if layer.title not in titles)], 0


def affinity_layers(subject: Subject, maps: HeadMaps, coloring: Coloring) -> list[Layer]:
    """Return the class with the highest affinity and the affinities to classes that occur or are predicted."""
    assert maps.affinity is not None
    assert subject.schema is not None
    names = subject.schema.names
    known = [values for values in (subject.label, subject.prediction) if values is not None]
    shown = np.unique(np.concatenate(known)) if known else np.arange(len(names))
    return table_layers(
        maps.affinity, "affinity", ("class with the highest affinity", "affinity to "), names=names,
        token=maps.point_token, of=coloring.of, shown=shown[shown >= 0],
        colors=class_colors(subject.schema, coloring.palette),
    )  # fmt: skip


def codeword_layers(maps: HeadMaps, of: str | None) -> list[Layer]:
    """Return the codeword with the largest weight and the weights of the codewords used most."""
    assert maps.assignment is not None
    number = maps.assignment.shape[1]
    return table_layers(
        maps.assignment, "codeword", ("codeword with the largest weight", "weight of "),
        names=[f"codeword {i}" for i in range(number)], token=maps.point_token, of=of,
        colors=np.array([*distinct_colors(number), UNLABELED], dtype=np.uint8),
        shown=np.argsort(-maps.assignment.mean(axis=0), kind="stable")[:MAX_CODEWORDS],
    )  # fmt: skip


def table_layers(
    weights: np.ndarray,
    by: By,
    titles: tuple[str, str],
    *,
    names: Sequence[str],
    colors: np.ndarray,
    token: np.ndarray,
    shown: np.ndarray,
    of: str | None,
) -> list[Layer]:
    """Return the column with the largest weight ``(T, K)`` of every token and columns ``shown``, or only column ``of``.

    Scales go from 0 to the 99.5th percentile, which the note gives.

    Raises:
        UserError: ``of`` is not a class or the number of a codeword.
    """
    layers = []
    if of is None:
        largest = np.append(weights.argmax(axis=1), -1)  # the last token is that of points without one
        layers = [category_layer(largest, by, titles[0], names=names, colors=colors, token=token)]
    else:
        choices = [name.removeprefix("codeword ") for name in names]
        shown = np.array([choose_column(of, choices, kind="class" if by == "affinity" else by)])
    for k in shown.tolist():
        high = max(float(np.percentile(weights[:, k], 99.5)), 1e-9)
        values, title = np.append(weights[:, k] / high, np.nan), f"{titles[1]}{names[k]}"
        layer = value_layer(
            values, by, title, scale=("0", "largest"), span=(0.0, high), note=f"up to {high:.2g}",
            missing=np.isnan(values), token=token,
        )  # fmt: skip
        layers.append(layer)
    return layers


def attention_layers(maps: HeadMaps, point: int, *, tokens: str = "voxels") -> list[Layer]:
    """Return what a point attends to after 1, 2, ... recurrences, on a logarithmic scale; ``tokens`` names them."""
    assert maps.attend is not None
    token = int(maps.point_token[point])
    if token < 0:
        raise UserError("--pick: the model has no voxel at this point. Pick another point.")
    layers = []
    for number, (weight, reached) in enumerate(maps.attend(token), start=1):
        with np.errstate(divide="ignore"):
            values = 1 + np.log(weight / weight.max()) / -np.log(SMALLEST_WEIGHT)
        layer = value_layer(
            np.append(values, 0), "attention", f"attention after {number} recurrence{'s' if number > 1 else ''}",
            scale=("1/1 000 000", "largest"), missing=np.append(~reached, True), missing_color=UNREACHED,
            note=f"reaches {100 * reached.mean():.3g} % of the {tokens}, {count_of_most(weight)} hold 90 %",
            token=maps.point_token,
        )  # fmt: skip
        layers.append(layer)
    return layers


def count_of_most(weight: np.ndarray, part: float = 0.9) -> int:
    """Return how many of the largest weights are needed for ``part`` of their sum."""
    total = np.cumsum(np.sort(weight.astype(np.float64))[::-1])
    return int(np.searchsorted(total, part * total[-1])) + 1


def gain_layer(subject: Subject, maps: HeadMaps) -> Layer:
    """Color by the probability of the true class minus that of the baseline, from -1 to 1."""
    difference, kind = gain(subject, maps)
    title = f"probability of the {kind} class minus that of the baseline"
    return value_layer(
        (difference + 1) / 2, "gain", title, scale=("-1", "+1"), span=(-1.0, 1.0), missing=np.isnan(difference),
        diverging=True,
    )  # fmt: skip


def gain(subject: Subject, maps: HeadMaps) -> tuple[np.ndarray, str]:
    """Return differences ``(N,)``, NaN for points without a class, and their class: "true" or "predicted"."""
    assert maps.baseline is not None
    has_labels = subject.label is not None and bool((subject.label >= 0).any())
    label = np.asarray(subject.label if has_labels else maps.label).astype(np.int64)
    known = (label >= 0) & (maps.row >= 0)
    difference = np.full(len(label), np.nan, dtype=np.float32)
    row, column = maps.row[known], label[known]
    difference[known] = maps.probability[row, column] - maps.baseline[row, column]
    return difference, "true" if has_labels else "predicted"


def center_point(subject: Subject) -> int:
    """Return the row of the point nearest the center of the cloud."""
    step = max(1, len(subject) // 200_000)
    low, high = np.percentile(subject.pos[::step], (1, 99), axis=0)
    return nearest_point(subject, (low + high) / 2)


def nearest_point(subject: Subject, position: Sequence[float] | np.ndarray) -> int:
    """Return the row of the point nearest to ``position``."""
    return int(np.square(subject.pos - np.asarray(position, dtype=np.float32)).sum(axis=1).argmin())
