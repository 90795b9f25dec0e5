"""Pages: a title, pictures in rows with headings, and a column of legends; matplotlib draws text and legends."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, PngImagePlugin

from pcseg.errors import UserError
from pcseg.files import atomic_path
from pcseg.views.layers.coloring import MISSING, Layer
from pcseg.views.layers.palette import Color

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BACKGROUND: Color = (255, 255, 255)
TITLE, HEADING, LEGEND, GAP = 40, 26, 240, 6
"""Heights of title and headings, width of the legend and gap between pictures, in pixels at ``unit=1``."""
FONT, ROW = 17, 28
"""Font size and row height of a legend, likewise."""
MIN_SCALE, MAX_SCALE, MARGIN = 120, 260, 34
"""Length of a color scale and the space around it, likewise; it shrinks before legend entries are left out."""
DPI = 100


@dataclass(frozen=True)
class Panel:
    """A picture on a page, with its heading."""

    heading: str
    image: Image.Image


def new_figure(size: tuple[int, int]) -> "Figure":
    """Return an empty figure of ``size`` pixels. matplotlib is imported here, because that takes half a second."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def write(
    figure: "Figure", at: tuple[float, float], text: str, size: float, *, room: float | None = None
) -> None:
    """Write text with its upper left corner at a pixel, in a smaller font if it is wider than ``room``."""
    width, height = figure.get_size_inches() * DPI
    made = figure.text(at[0] / width, 1 - at[1] / height, text, va="top", parse_math=False)
    made.set_fontsize(points(size))
    for _ in range(3 if room is not None else 0):  # hinted fonts do not shrink in proportion
        needed = made.get_window_extent(figure.canvas.get_renderer()).width  # type: ignore[attr-defined]
        made.set_fontsize(float(made.get_fontsize()) * min((room or 0) / max(needed, 1), 1))


def points(pixels: float) -> float:
    """Return a font size in points."""
    return pixels * 72 / DPI


def draw_legends(figure: "Figure", layers: Sequence[Layer], at: tuple[float, float], *, unit: float) -> None:
    """Draw all legends, then all color scales, from a pixel down; entries that do not fit are counted."""
    width, height = figure.get_size_inches() * DPI
    x, y = at
    scales = [layer for layer in layers if layer.scale]
    free = height - y - 8 * unit - len(scales) * (MIN_SCALE + MARGIN) * unit
    entries = fit_entries(
        [layer.legend for layer in layers if layer.legend], max(int(free / (ROW * unit)), 1)
    )
    if entries:
        from matplotlib.patches import Patch

        nothing = Patch(visible=False)
        legend = figure.legend(
            [nothing if color is None else Patch(fc=np.divide(color, 255), ec="black") for _, color in entries],
            [str(i) for i in range(len(entries))],  # labels are set later: matplotlib hides those that start with "_"
            loc="upper left", bbox_to_anchor=(x / width, 1 - y / height), fontsize=points(FONT * unit),
            handlelength=1.1, handleheight=1.1, handletextpad=0.5, labelspacing=ROW / FONT - 1.06,
            borderpad=0, borderaxespad=0, frameon=False,
        )  # fmt: skip
        for made, (text, _) in zip(legend.get_texts(), entries):
            made.set_parse_math(False)
            made.set_text(text)
        y += len(entries) * ROW * unit
    room = (height - y) / max(len(scales), 1) - MARGIN * unit
    for layer in scales:
        draw_scale(figure, layer, (x, y + 10 * unit), length=min(room, MAX_SCALE * unit), unit=unit)
        y += min(room, MAX_SCALE * unit) + MARGIN * unit


def fit_entries(legends: Sequence[Sequence[tuple[str, Color]]], room: int) -> list[tuple[str, Color | None]]:
    """Return the entries of all legends with empty rows between; the longest legend is cut to ``room`` rows."""
    excess = sum(map(len, legends)) + max(len(legends) - 1, 0) - room
    longest = max(map(len, legends), default=0)
    entries: list[tuple[str, Color | None]] = []
    for number, legend in enumerate(legends):
        kept = len(legend)
        if excess > 0 and kept == longest:
            kept, excess = max(kept - excess - 1, 0), 0
        entries += [("", None)] if number else []
        entries += legend[:kept]
        if kept < len(legend):
            entries.append((f"and {len(legend) - kept} more", None))
    return entries


def draw_scale(
    figure: "Figure", layer: Layer, at: tuple[float, float], *, length: float, unit: float
) -> None:
    """Draw a vertical color scale with texts at its ends."""
    assert layer.scale is not None
    (width, height), (x, y) = figure.get_size_inches() * DPI, at
    axes = figure.add_axes((x / width, 1 - (y + length) / height, 26 * unit / width, length / height))
    axes.imshow(layer.table[:MISSING][::-1, None], aspect="auto", interpolation="nearest")
    axes.set_axis_off()
    write(figure, (x + 36 * unit, y - 2 * unit), layer.scale[1], FONT * unit)
    write(figure, (x + 36 * unit, y + length - 18 * unit), layer.scale[0], FONT * unit)


def to_image(figure: "Figure") -> Image.Image:
    """Return a figure as an image, with its texts in ``info["Description"]``."""
    from matplotlib.text import Text

    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")  # type: ignore[attr-defined]
    texts = [text.get_text() for text in figure.findobj(Text) if text.get_visible()]  # type: ignore[union-attr]
    image.info["Description"] = "\n".join(dict.fromkeys(filter(None, texts)))
    return image


def compose(
    title: str,
    rows: Sequence[Sequence[Panel]],
    legends: Sequence[Layer],
    *,
    unit: float,
    size: tuple[int, int] | None = None,
) -> Image.Image:
    """Lay out rows of panels of one size, a title above and legends at the right; ``unit`` scales text and gaps."""
    (width, height), top = rows[0][0].image.size, round(TITLE * unit)
    heading = round(HEADING * unit) if any(panel.heading for row in rows for panel in row) else 0
    legend = round(LEGEND * unit) if legends else 0
    if size is None:
        size = (max(map(len, rows)) * (width + GAP) + legend, top + len(rows) * (heading + height + GAP))
    figure = new_figure(size)
    write(figure, (12 * unit, 8 * unit), title, 22 * unit, room=size[0] - 24 * unit)
    pasted = []
    for number, row in enumerate(rows):
        for column, panel in enumerate(row):
            x, y = column * (width + GAP), top + number * (heading + height + GAP)
            pasted.append(((x, y + heading), panel.image))
            if panel.heading:
                write(figure, (x + 8, y + 3 * unit), panel.heading, 16 * unit, room=width - 12)
    draw_legends(figure, legends, (size[0] - legend + 14 * unit, top + heading), unit=unit)
    page = to_image(figure)
    for at, image in pasted:  # pixel by pixel, without resampling
        page.paste(image, at)
    return page


def panel_grid(
    count: int, size: tuple[int, int], *, unit: float, legend: bool
) -> tuple[int, tuple[int, int]]:
    """Return the columns and the panel size that fit ``count`` panels of about 4:3 into a page of ``size``."""
    width = size[0] - (round(LEGEND * unit) if legend else 0)
    height = size[1] - round(TITLE * unit)
    grids = [(columns, -(-count // columns)) for columns in range(1, count + 1)]
    columns, rows = max(grids, key=lambda grid: min(width / grid[0] / (4 / 3), height / grid[1]))
    if count == 1:
        return 1, (width, height)
    return columns, (width // columns - GAP, height // rows - GAP - round(HEADING * unit))


def merge_legends(layers: Sequence[Layer], names: Sequence[str]) -> list[Layer]:
    """Return one legend of all categories without their shares, classes ``names`` first, and every scale once."""
    colors = {text.rsplit("  ", 1)[0]: color for layer in layers for text, color in layer.legend}
    order = {name: number for number, name in enumerate(names)}
    legend = sorted(colors.items(), key=lambda entry: order.get(entry[0], len(order)))
    categories = [Layer(by="label", title="", legend=legend)] if legend else []
    return categories + distinct_legends([layer for layer in layers if layer.scale])


def distinct_legends(layers: Sequence[Layer]) -> list[Layer]:
    """Return one layer for every legend or scale that occurs among ``layers``."""
    found: dict[object, Layer] = {}
    for layer in layers:
        if layer.legend or layer.scale:
            found.setdefault((layer.scale, tuple(layer.legend), layer.table.tobytes()), layer)
    return list(found.values())


def require_image_format(path: Path) -> None:
    """Raise :class:`UserError` unless Pillow can write images with the suffix of ``path``."""
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise UserError(f"{path}: unknown image format. Use .png, .jpg or .webp.")


def save_image(image: Image.Image, path: Path) -> None:
    """Write an image in the format of its suffix; PNG files carry the texts of the page as "Description"."""
    require_image_format(path)
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Description", image.info.get("Description", ""))
    kind = Image.registered_extensions()[path.suffix.lower()]
    with atomic_path(path) as temporary:
        image.save(temporary, format=kind, **({"pnginfo": texts} if kind == "PNG" else {}))
