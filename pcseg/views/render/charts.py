"""Charts of what a head computes for a whole cloud: class similarities, presence, channel factors."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pcseg.errors import UserError
from pcseg.labels import Palette, class_colors
from pcseg.views.layers.head_maps import HeadMaps
from pcseg.views.render.slab_charts import draw_slabs
from pcseg.views.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

PREDICTED, TARGET = "#055896", "#f1a340"
"""Bars of predictions and of their targets: blue and orange."""

MAX_BARS = 22
"""Classes per chart; of more classes, those with the largest values are drawn."""

DPI = 100

Series = Sequence[tuple[str, str, np.ndarray]]
"""Name, color and values of each series of bars."""


def context_picture(
    subject: Subject, *, size: tuple[int, int] | None = None, palette: Palette = "canonical"
) -> Image.Image:
    """Draw class similarities and probabilities (CTNet), presence and codewords (EncNet), channel factors, slabs.

    The default size is 1280 x 720 pixels, twice as high for a head with channel factors and slabs.

    Raises:
        UserError: There is no model, or its head computes nothing to draw.
    """
    maps = subject.maps
    if maps is None or subject.schema is None:
        raise UserError(f"{subject.name}: --by context shows the internals of a head. Pass --ckpt FILE.")
    parts = [
        make for make, has in ((context_figure, maps.channel), (slab_figure, maps.slabs)) if has is not None
    ]
    if not parts:
        raise UserError(
            f"{subject.name}: {maps.head} computes no context of the whole {subject.kind}. Use CTNet, EncNet or slab "
            "context."
        )
    width, height = size or (1280, 720 * len(parts))
    page = Image.new("RGB", (width, height))
    texts: list[str] = []
    for number, make in enumerate(parts):
        top, bottom = (height * i // len(parts) for i in (number, number + 1))
        page.paste(_rendered(make, subject, (width, bottom - top), palette, texts), (0, top))
    page.info["Description"] = "\n".join(dict.fromkeys(filter(None, texts)))
    return page


def context_figure(subject: Subject, *, size: tuple[int, int], palette: Palette) -> "Figure":
    """Return the charts of CTNet and EncNet."""
    maps, whole = subject.maps, subject.kind
    assert maps is not None
    assert maps.channel is not None
    assert subject.schema is not None
    colors = class_colors(subject.schema, palette)[:-1] / 255
    figure, top = _figure(f"{subject.name}: context of the whole {whole}, {maps.head}", size)
    matrices, (bars_title, series) = list(maps.similarity.items()), class_series(maps, whole)
    widths = (*[1.0] * len(matrices), 0.8) if matrices else (1.0,) if maps.assignment is None else (1.0, 1.0)
    left = 0.04 if len(widths) > 1 else 0.09  # names of classes
    grid = figure.add_gridspec(
        2, 1, left=left, right=0.985, bottom=0.05, top=top, height_ratios=(2.6, 1), hspace=0.26
    )
    above = grid[0].subgridspec(1, len(widths), width_ratios=widths, wspace=0.22)
    for number, (name, matrix) in enumerate(matrices):
        draw_matrix(_axes(figure, above[number], f"cosine similarity of {name}"), matrix, colors)
    if not matrices and maps.assignment is not None and maps.smoothing is not None:
        left = above[0].subgridspec(2, 1, hspace=0.4)
        draw_bars(_axes(figure, left[0], "mean weight of each codeword"), maps.assignment.mean(axis=0))
        draw_bars(_axes(figure, left[1], "smoothing factor of each codeword"), maps.smoothing)
    if series:
        draw_class_bars(_axes(figure, above[-1], bars_title), series, subject.schema.names, colors)
    kind = "channel vector" if maps.class_prob is not None else "scaling factors"
    draw_bars(_axes(figure, grid[1], f"{kind} ({len(maps.channel)} channels)"), maps.channel)
    return figure


def slab_figure(subject: Subject, *, size: tuple[int, int], palette: Palette) -> "Figure":
    """Return the charts of slabs."""
    assert subject.maps is not None
    figure, top = _figure(f"{subject.name}: class shares of slabs, {subject.maps.head}", size)
    draw_slabs(figure, subject, palette=palette, top=top)
    return figure


def class_series(maps: HeadMaps, whole: str) -> tuple[str, Series]:
    """Return the title and the bars of what a head predicts for classes, and of its targets."""
    if maps.class_prob is not None:
        values, target = (maps.class_prob, maps.frequency), "target"
        title = f"class probability of the {whole}"
    else:
        values, target, title = (maps.presence, maps.present), "true", "class presence"
    found = zip(("predicted", target), (PREDICTED, TARGET), values)
    return title, [(name, color, np.asarray(v, float)) for name, color, v in found if v is not None]


def draw_matrix(axes: "Axes", matrix: np.ndarray, colors: np.ndarray) -> None:
    """Draw cosine similarities ``(K, K)`` from 0 (dark) to 1, with class colors along two sides.

    The smallest and largest value outside the diagonal are written below.
    """
    number, start = len(matrix), -0.06 * len(matrix) - 0.5
    end = number - 0.5
    axes.imshow(matrix, cmap="viridis", vmin=0, vmax=1)
    axes.imshow(colors[:, None], extent=(start, -0.6, end, -0.5))
    axes.imshow(colors[None], extent=(-0.5, end, -0.6, start))
    axes.set(xlim=(start, end), ylim=(end, start))
    axes.set_axis_off()
    others = matrix[~np.eye(number, dtype=bool)]
    if len(others):
        axes.text(-0.5, 1.01 * end, f"between classes: {others.min():.3f} to {others.max():.3f}", va="top")


def draw_class_bars(axes: "Axes", series: Series, names: Sequence[str], colors: np.ndarray) -> None:
    """Draw horizontal bars, one group per class and one bar per series; numbers are those of the first series.

    Of more than :data:`MAX_BARS` classes, those with the largest values are drawn and the others are counted.
    """
    largest = np.max([values for _, _, values in series], axis=0)
    order = np.argsort(-largest, kind="stable")
    shown = np.sort(order[: len(names) if len(names) <= MAX_BARS else MAX_BARS - 1])
    y, thickness, high = np.arange(len(shown)), 0.8 / len(series), max(float(largest.max()), 1e-9)
    for number, (name, color, values) in enumerate(series):
        offset = (number - (len(series) - 1) / 2) * thickness
        axes.barh(y + offset, values[shown], thickness, color=color, label=name)
    for row, k in enumerate(shown):
        axes.text(largest[k] + 0.02 * high, row, f"{series[0][2][k]:.2f}", va="center", fontsize="small")
    axes.barh(y, -0.03 * high, 0.8, color=colors[shown])
    axes.set_yticks(y, [str(names[k])[:20] for k in shown], parse_math=False)
    axes.set(xlim=(-0.03 * high, 1.15 * high), ylim=(len(shown) - 0.5, -0.5))
    if rest := len(names) - len(shown):
        axes.set_xlabel(f"and {rest} more, each at most {largest[order[len(shown) :]].max():.2g}", loc="left")
    axes.legend(ncols=len(series), loc="upper right", bbox_to_anchor=(1, -0.06), frameon=False)


def draw_bars(axes: "Axes", values: np.ndarray) -> None:
    """Draw vertical bars from 0, with the smallest and the largest value in the title."""
    axes.stairs(values, np.arange(len(values) + 1) - 0.5, fill=True, color=PREDICTED)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_title(f"{axes.get_title('left')}: {values.min():.3g} to {values.max():.3g}", loc="left")


def _axes(figure: "Figure", cell: "SubplotSpec", title: str) -> "Axes":
    """Add a chart with a title."""
    axes = figure.add_subplot(cell)
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _figure(title: str, size: tuple[int, int]) -> "tuple[Figure, float]":
    """Return a figure with a title, and the upper end of its charts."""
    from matplotlib.figure import Figure

    (width, height), unit = size, _unit(size)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    at = (12 * unit / width, 1 - 8 * unit / height)
    figure.text(*at, title, va="top", fontsize=22 * unit * 72 / DPI, parse_math=False)
    return figure, 1 - 70 * unit / height


def _rendered(
    make: Callable[..., "Figure"], subject: Subject, size: tuple[int, int], palette: Palette, texts: list[str]
) -> Image.Image:
    """Return a figure as an image, and append its texts to ``texts``."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    small, normal = (pixels * _unit(size) * 72 / DPI for pixels in (13, 15))
    style: Any = {
        "font.size": normal, "axes.titlesize": normal, "xtick.labelsize": small, "ytick.labelsize": small,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = make(subject, size=size, palette=palette)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    texts += [text.get_text() for text in figure.findobj(Text) if text.get_visible()]  # type: ignore[union-attr]
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _unit(size: tuple[int, int]) -> float:
    """Return the factor on texts and gaps."""
    return min(size[1] / 720, size[0] / 1280)
