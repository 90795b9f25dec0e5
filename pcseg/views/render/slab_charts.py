"""Charts of slab context: class shares along the axes, those that the head reads beside the true ones."""

from typing import TYPE_CHECKING

import numpy as np

from pcseg.labels import Palette, class_colors
from pcseg.views.layers.head_maps import SlabShares
from pcseg.views.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

MAX_CLASSES = 20
"""Entries of the legend; of more classes, those with the largest shares of a slab are named."""

MIN_SHARE = 0.005
"""Classes with a smaller share of every slab, predicted and true, are not in the legend."""


def draw_slabs(figure: "Figure", subject: Subject, *, palette: Palette, top: float) -> None:
    """Draw the slabs of a head into a figure, below the height ``top``.

    Horizontal axes lie on the left, the upright one (z, rows of an image) stands on the right.
    """
    maps = subject.maps
    assert maps is not None
    assert maps.slabs is not None
    assert subject.schema is not None
    colors = class_colors(subject.schema, palette)[:-1] / 255
    upright = 2 if subject.pixels is None else 1
    lying = [shares for shares in maps.slabs if shares.axis != upright]
    widths = 1.5 if lying else 0.01, 1 if len(lying) < len(maps.slabs) else 0.01, 0.32
    grid = figure.add_gridspec(
        1, 3, left=0.06, right=0.99, bottom=0.085, top=top, width_ratios=widths, wspace=0.19
    )
    rows = grid[0].subgridspec(max(len(lying), 1), 1, hspace=0.34)
    for number, shares in enumerate(lying):
        draw_versions(figure, rows[number], shares, colors, upright=False)
    for shares in maps.slabs:
        if shares.axis == upright:
            charts = draw_versions(figure, grid[1], shares, colors, upright=True)
            if subject.pixels is not None:  # rows count downwards
                for axes in charts:
                    axes.invert_yaxis()
    draw_legend(figure.add_subplot(grid[2]), subject, colors)


def draw_versions(
    figure: "Figure", cell: "SubplotSpec", shares: SlabShares, colors: np.ndarray, *, upright: bool
) -> list["Axes"]:
    """Draw the predicted and the true shares along one axis, one below the other, or side by side if ``upright``."""
    versions, charts = versions_of(shares), []
    shape = (1, len(versions)) if upright else (len(versions), 1)
    strips = cell.subgridspec(*shape, hspace=0.1, wspace=0.08)
    for number, (name, values) in enumerate(versions):
        axes = figure.add_subplot(strips[number])
        draw_stack(axes, shares, values, colors, upright=upright)
        (axes.set_xlabel if upright else axes.set_ylabel)(name)
        charts.append(axes)
    charts[0].set_title(f"class shares along {shares.name}", loc="left")
    if upright:
        charts[0].set_ylabel(f"{shares.name} in {shares.unit}")
    else:
        charts[-1].set_xlabel(f"{shares.name} in {shares.unit}")
    for axes in charts[1:] if upright else charts[:-1]:
        axes.tick_params(labelleft=not upright, labelbottom=upright)
    return charts


def versions_of(shares: SlabShares) -> list[tuple[str, np.ndarray]]:
    """Return the predicted shares and, with labels, the true ones, by name."""
    both = ("predicted", shares.predicted), ("true", shares.true)
    return [(name, values) for name, values in both if values is not None]


def draw_stack(
    axes: "Axes", shares: SlabShares, values: np.ndarray, colors: np.ndarray, *, upright: bool
) -> None:
    """Draw stacked class shares ``(S, K)`` along an axis; empty slabs and unlabeled parts stay white."""
    step = np.rint((shares.start - shares.start[0]) / shares.thickness).astype(np.int64)
    borders = np.unique([step, step + 1])
    sums = np.zeros((values.shape[1], len(borders) - 1))  # empty slabs side by side share a column
    sums[:, np.searchsorted(borders, step)] = values.cumsum(axis=1).T
    edges = shares.start[0] + shares.thickness * borders
    orientation = "horizontal" if upright else "vertical"
    for k in reversed(range(len(sums))):  # from 0, so that no seams show between classes
        if values[:, k].any():
            axes.stairs(sums[k], edges, fill=True, color=colors[k], orientation=orientation)
    share, along = (axes.xaxis, axes.yaxis) if upright else (axes.yaxis, axes.xaxis)
    share.set_ticks((0, 0.5, 1), ("0", "0.5", "1"))
    share.set_view_interval(0, 1, ignore=True)
    along.set_view_interval(*edges[[0, -1]], ignore=True)


def draw_legend(axes: "Axes", subject: Subject, colors: np.ndarray) -> None:
    """Name the classes with a visible share of a slab, in the order in which they are stacked."""
    from matplotlib.patches import Patch

    assert subject.maps is not None
    assert subject.maps.slabs is not None
    tables = [values for shares in subject.maps.slabs for _, values in versions_of(shares)]
    most = np.concatenate(tables).max(axis=0)
    visible = np.flatnonzero(most >= MIN_SHARE)
    named = np.sort(visible[np.argsort(-most[visible], kind="stable")][:MAX_CLASSES])[::-1]
    handles = [Patch(color=tuple(colors[k].tolist()), label=subject.class_names[k][:20]) for k in named]
    if len(visible) > len(named):
        handles.append(Patch(color="none", label=f"and {len(visible) - len(named)} more"))
    axes.set_axis_off()
    legend = axes.legend(handles=handles, loc="upper left", borderaxespad=0, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
