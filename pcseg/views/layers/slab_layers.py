"""Layers of slab context: what the slabs along each axis hold, in colors and in words."""

import numpy as np

from pcseg.labels import class_colors
from pcseg.views.layers.coloring import Coloring, Layer, choose_column, value_layer
from pcseg.views.layers.head_maps import HeadMaps, SlabShares, largest
from pcseg.views.subject import Subject

MAX_ENTRIES = 3
"""Number of classes of a slab to list."""


def slab_layers(subject: Subject, maps: HeadMaps, coloring: Coloring) -> list[Layer]:
    """Return one layer per axis: the class of the slab of a point, or the share of class ``of`` in it.

    The class of a slab is the one most above its share of all tokens: the largest share is that of walls nearly
    everywhere. A single slab has the class with the largest share. The name of a slab lists its largest shares.

    Raises:
        UserError: ``of`` is not a class.
    """
    assert maps.slabs is not None
    assert subject.schema is not None
    names = subject.schema.names
    if coloring.of is None:
        colors = class_colors(subject.schema, coloring.palette)
        found = [standouts(shares) for shares in maps.slabs]
        legend = [(names[k], tuple(colors[k].tolist())) for k in np.unique(np.concatenate(found))]
        return [
            Layer(
                by="slabs",
                title=f"slabs along {shares.name}",
                index=np.arange(len(label) + 1, dtype=np.uint16),
                table=colors[np.append(label, -1)],
                token=slab_of_points(shares, maps),
                names=(*(slab_text(shares, i, names) for i in range(len(label))), "none"),
                legend=legend,
                note="class most above its mean share",
            )
            for shares, label in zip(maps.slabs, found)
        ]
    k = choose_column(coloring.of, names, kind="class")
    high = max(max(float(shares.predicted[:, k].max()) for shares in maps.slabs), 1e-9)
    return [
        value_layer(
            np.append(shares.predicted[:, k] / high, np.nan), "slabs",
            f"share of {names[k]} in slabs along {shares.name}", scale=("0", f"{high:.2g}"), span=(0.0, high),
            missing=np.append(np.zeros(len(shares.start), bool), True), token=slab_of_points(shares, maps),
        )
        for shares in maps.slabs
    ]  # fmt: skip


def standouts(shares: SlabShares) -> np.ndarray:
    """Return for every slab the class whose share is most above its share of all tokens, ``(S,)``.

    Of a single slab, all of these differences are 0: its class is the one with the largest share.
    """
    if len(shares.start) == 1:
        return shares.predicted.argmax(axis=1)
    size = np.bincount(shares.slab, minlength=len(shares.start))
    return (shares.predicted - np.average(shares.predicted, axis=0, weights=size)).argmax(axis=1)


def slab_of_points(shares: SlabShares, maps: HeadMaps) -> np.ndarray:
    """Return the slab of each point, ``(N,)``, -1 for none."""
    return np.append(shares.slab, -1)[maps.point_token]


def slab_text(shares: SlabShares, slab: int, names: tuple[str, ...]) -> str:
    """Return the position of a slab, its largest predicted shares and its largest true shares."""
    low, digits = shares.start[slab], 2 if shares.unit == "m" else 0
    text = f"{low:.{digits}f} to {low + shares.thickness:.{digits}f} {shares.unit}: "
    text += largest(shares.predicted[slab], names, MAX_ENTRIES)
    return text if shares.true is None else f"{text}; true: {largest(shares.true[slab], names, MAX_ENTRIES)}"
