"""Colours that show what a head does: affinity to classes, codewords, attention of a point, gain by context."""

import colorsys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pcseg.errors import UserError
from pcseg.labels import UNLABELED, Palette, class_colors
from pcseg.views.layers.coloring import By, Layer, amount_layer, available, make_layer, named_layer
from pcseg.views.layers.head_maps import HeadMaps
from pcseg.views.subject import Subject

UNSEEN = (205, 210, 215)
"""Points that an attention does not reach."""
LEAST = 1e-6
"""Attention is shown by its logarithm, from this share of its largest value."""

HAS: dict[str, tuple[str, str]] = {
    "affinity": ("affinity", "a CTNet head has one"),
    "codeword": ("assignment", "an EncNet head has one"),
    "attention": ("attend", "a CCNet head has one"),
    "gain": ("plain", "give --plain FILE, the checkpoint to compare with"),
}
"""The field of :class:`HeadMaps` that each way to colour needs, and who has it."""


def head_ways(maps: HeadMaps | None) -> list[By]:
    """The ways to colour for which a head has the maps."""
    ways: tuple[By, ...] = ("affinity", "codeword", "attention", "gain")
    return [by for by in ways if maps is not None and getattr(maps, HAS[by][0]) is not None]


def head_layers(
    subject: Subject,
    by: By,
    *,
    of: str | None = None,
    point: int | None = None,
    palette: Palette = "canonical",
) -> list[Layer]:
    """The layers of one way to colour by what a head does.

    Args:
        subject: The points and the maps of the head.
        by: ``affinity`` (the class that a point takes most of, and the share of each class that is there),
            ``codeword`` (the same of codewords), ``attention`` (what one point sees after 1, 2, ...
            recurrences) or ``gain`` (probability of the true class, or without truth of the predicted one,
            less what a plain head gives it).
        of: Name of the one class, or number of the one codeword, to show.
        point: The point that looks, for ``attention``.
        palette: Colours of the classes.

    Raises:
        UserError: The head has no such map, or there is no ``of``.
    """
    maps = subject.maps
    if maps is None:
        raise UserError(f"{subject.name}: colours by {by} show what a head does; give --ckpt FILE")
    field, who = HAS[by]
    if getattr(maps, field) is None:
        raise UserError(f"{subject.name}: {maps.head} has no {by} to colour by; {who}")
    if by == "affinity":
        return affinity_layers(subject, maps, of=of, palette=palette)
    if by == "codeword":
        return codeword_layers(maps, of=of)
    if by == "attention":
        tokens = "voxels" if subject.pixels is None else "cells"
        return attention_layers(maps, middle_point(subject) if point is None else point, tokens=tokens)
    return [gain_layer(subject, maps)]


def all_layers(subject: Subject, *, palette: Palette = "canonical", point: int | None = None) -> list[Layer]:
    """Every layer of a subject, those of the points first."""
    layers = [make_layer(subject, by, palette=palette) for by in available(subject)]
    for by in head_ways(subject.maps):
        layers += head_layers(subject, by, point=point, palette=palette)
    return layers


def affinity_layers(subject: Subject, maps: HeadMaps, *, of: str | None, palette: Palette) -> list[Layer]:
    """The class that each point takes most of, then the share of each class that is there or predicted."""
    assert maps.affinity is not None
    assert subject.schema is not None
    names = subject.schema.names
    if of is not None and of not in names:
        raise UserError(f"--of {of}: no such class; choose one of {', '.join(names)}")
    seen = [values for values in (subject.label, subject.prediction) if values is not None]
    there = np.unique(np.concatenate(seen)) if seen else np.arange(len(names))
    wanted = [int(k) for k in there if k >= 0] if of is None else [names.index(of)]
    site = maps.point_token
    shares = [
        share_layer(maps.affinity[:, k], "affinity", f"affinity to {names[k]}", site=site) for k in wanted
    ]
    if of is not None:
        return shares
    colors = class_colors(subject.schema, palette)
    title = "class of most affinity"
    strongest = named_layer(
        _with_none(maps.affinity.argmax(axis=1)), "affinity", title, names=names, colors=colors, site=site
    )
    return [strongest, *shares]


def codeword_layers(maps: HeadMaps, *, of: str | None) -> list[Layer]:
    """The codeword that each point belongs to most, then the shares of the codewords that points belong to."""
    assert maps.assignment is not None
    number = maps.assignment.shape[1]
    names = [f"codeword {i}" for i in range(number)]
    if of is not None and of not in map(str, range(number)):
        raise UserError(f"--of {of}: no such codeword; choose 0 to {number - 1}")
    strongest = maps.assignment.argmax(axis=1)
    site = maps.point_token
    used = np.argsort(-maps.assignment.mean(axis=0), kind="stable")[:6]
    wanted = used.tolist() if of is None else [int(of)]
    shares = [
        share_layer(maps.assignment[:, i], "codeword", f"share of codeword {i}", site=site) for i in wanted
    ]
    if of is not None:
        return shares
    colors = np.array([*distinct_colors(number), UNLABELED], dtype=np.uint8)
    title = "codeword of the largest share"
    kinds = named_layer(_with_none(strongest), "codeword", title, names=names, colors=colors, site=site)
    return [kinds, *shares]


def attention_layers(maps: HeadMaps, point: int, *, tokens: str = "voxels") -> list[Layer]:
    """What the token of ``point`` sees after 1, 2, ... recurrences, by its logarithm; ``tokens`` names them."""
    assert maps.attend is not None
    token = int(maps.point_token[point])
    if token < 0:
        raise UserError("the picked point lies outside the cloud; pick another")
    site, layers = maps.point_token, []
    for number, (share, reached) in enumerate(maps.attend(token), start=1):
        with np.errstate(divide="ignore"):
            place = 1 + np.log(share / share.max()) / -np.log(LEAST)
        times = "1 recurrence" if number == 1 else f"{number} recurrences"
        layer = amount_layer(
            np.append(place, 0),
            "attention",
            f"seen after {times}",
            scale=("1/1 000 000", "largest"),
            missing=np.append(~reached, True),
            nothing=UNSEEN,
            site=site,
        )
        layers.append(
            replace(layer, note=f"{100 * reached.mean():.3g} % of the {tokens}, {most_of(share)} hold 90 %")
        )
    return layers


def most_of(share: np.ndarray, part: float = 0.9) -> int:
    """How many of the largest shares make up ``part`` of all."""
    total = np.cumsum(np.sort(share.astype(np.float64))[::-1])
    return int(np.searchsorted(total, part * total[-1])) + 1


def gain_layer(subject: Subject, maps: HeadMaps) -> Layer:
    """Probability of the true class with this head less that with the plain one, from -1 to 1."""
    difference, what = gain(subject, maps)
    layer = amount_layer(
        (difference + 1) / 2,
        "gain",
        f"probability of the {what} class, less that of the plain head",
        scale=("-1", "+1"),
        missing=np.isnan(difference),
        diverging=True,
    )
    return replace(layer, span=(-1.0, 1.0))


def gain(subject: Subject, maps: HeadMaps) -> tuple[np.ndarray, str]:
    """Differences ``(N,)``, NaN for points without a class, and which class they are of: true or predicted."""
    assert maps.plain is not None
    truth = subject.label is not None and bool((subject.label >= 0).any())
    label = np.asarray(subject.label if truth else maps.label).astype(np.int64)
    known = (label >= 0) & (maps.row >= 0)
    difference = np.full(len(label), np.nan, dtype=np.float32)
    row, of = maps.row[known], label[known]
    difference[known] = maps.probability[row, of] - maps.plain[row, of]
    return difference, "true" if truth else "predicted"


def share_layer(values: np.ndarray, by: By, title: str, *, site: np.ndarray) -> Layer:
    """Shares ``(T,)`` of tokens, from 0 to almost the largest of them, which the note says."""
    missing = np.zeros(len(values) + 1, dtype=bool)
    missing[-1] = True
    most = max(float(np.percentile(values, 99.5)), 1e-9)
    layer = amount_layer(
        np.append(values / most, 0), by, title, scale=("0", "largest"), missing=missing, site=site
    )
    return replace(layer, span=(0.0, most), note=f"up to {most:.2g}")


def middle_point(subject: Subject) -> int:
    """The point nearest to the middle of the cloud."""
    step = max(1, len(subject) // 200_000)
    low, high = np.percentile(subject.pos[::step], (1, 99), axis=0)
    return nearest_point(subject, (low + high) / 2)


def nearest_point(subject: Subject, place: Sequence[float] | np.ndarray) -> int:
    """The point nearest to ``place`` in metres."""
    return int(np.square(subject.pos - np.asarray(place, dtype=np.float32)).sum(axis=1).argmin())


def distinct_colors(number: int) -> list[tuple[int, ...]]:
    """Colours that neighbours in the list do not share, for kinds without a meaning of their own."""
    colors = []
    for i in range(number):
        light = (0.42, 0.66, 0.54)[i % 3]
        rgb = colorsys.hls_to_rgb(i * 0.618034 % 1, light, 0.65)
        colors.append(tuple(round(255 * value) for value in rgb))
    return colors


def _with_none(kind: np.ndarray) -> np.ndarray:
    """``kind`` of the tokens, and one more for points without a token."""
    return np.append(kind, -1)
