"""Pages: a title, pictures in rows with headings, and a column of legends.

Drawn with Pillow and not with matplotlib, whose import takes a quarter of the time of a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from pcseg.errors import UserError
from pcseg.files import atomic_path
from pcseg.views.layers.coloring import MISSING, Color, Layer

BACKGROUND: Color = (255, 255, 255)
INK: Color = (0, 0, 0)
TITLE, HEADING, LEGEND, GAP = 40, 26, 240, 6
"""Heights of title and headings, width of the legend and gap between pictures, in pixels at ``unit=1``."""
FONT, ROW = 17, 28
"""Font size and row height of a legend, likewise."""
MIN_SCALE, MAX_SCALE, MARGIN = 120, 260, 34
"""Length of a color scale and the space around it, likewise; it shrinks before legend entries are left out."""


@dataclass(frozen=True)
class Panel:
    """A picture on a page, with its heading."""

    heading: str
    image: Image.Image


@cache
def font_of(size: float) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which has the letters of many languages, from the files of matplotlib."""
    spec = find_spec("matplotlib")
    assert spec is not None, "matplotlib is a dependency"
    return ImageFont.truetype(
        Path(str(spec.origin)).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", size
    )


class Page:
    """A white picture of ``size`` pixels to write and draw on; its texts are in ``image.info["Description"]``."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.image = Image.new("RGB", size, BACKGROUND)
        self.draw = ImageDraw.Draw(self.image)

    def write(
        self,
        at: tuple[float, float],
        text: str,
        size: float,
        *,
        room: float | None = None,
        anchor: str = "la",
    ) -> None:
        """Write text at a pixel, in a smaller font if it is wider than ``room``; ``anchor`` as in Pillow."""
        font = font_of(size)
        if room is not None and (width := font.getlength(text)) > room:
            font = font_of(size * room / width)
        self.draw.text(at, text, fill=INK, font=font, anchor=anchor)
        texts = self.image.info.get("Description", "").splitlines()
        self.image.info["Description"] = "\n".join(dict.fromkeys(filter(None, [*texts, text])))

    def draw_legends(self, layers: Sequence[Layer], at: tuple[float, float], *, unit: float) -> None:
        """Draw all legends, then all color scales, from a pixel down; entries that do not fit are counted."""
        (x, y), height, row = at, self.image.height, ROW * unit
        scales = [layer for layer in layers if layer.scale]
        free = height - y - 8 * unit - len(scales) * (MIN_SCALE + MARGIN) * unit
        legends = [layer.legend for layer in layers if layer.legend]
        for text, color in fit_entries(legends, max(int(free / row), 1)):
            if color is not None:
                box = (x, y + 4 * unit, x + 18 * unit, y + 22 * unit)
                self.draw.rectangle(box, fill=color, outline=INK)
            self.write((x + 27 * unit, y + row / 2), text, FONT * unit, anchor="lm")
            y += row
        room = (height - y) / max(len(scales), 1) - MARGIN * unit
        for layer in scales:
            self.draw_scale(layer, (x, y + 10 * unit), length=min(room, MAX_SCALE * unit), unit=unit)
            y += min(room, MAX_SCALE * unit) + MARGIN * unit

    def draw_scale(self, layer: Layer, at: tuple[float, float], *, length: float, unit: float) -> None:
        """Draw a vertical color scale with texts at its ends."""
        assert layer.scale is not None
        (x, y), (low, high) = at, layer.scale
        colors = Image.fromarray(layer.table[:MISSING][::-1, None])
        bar = colors.resize((round(26 * unit), round(length)), Image.Resampling.NEAREST)
        self.image.paste(bar, (round(x), round(y)))
        self.write((x + 36 * unit, y), high, FONT * unit)
        self.write((x + 36 * unit, y + length), low, FONT * unit, anchor="ld")


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
    page = Page(size)
    page.write((12 * unit, 8 * unit), title, 22 * unit, room=size[0] - 24 * unit)
    for number, row in enumerate(rows):
        for column, panel in enumerate(row):
            x, y = column * (width + GAP), top + number * (heading + height + GAP)
            page.image.paste(panel.image, (x, y + heading))
            if panel.heading:
                page.write((x + 8, y + 3 * unit), panel.heading, 16 * unit, room=width - 12)
    page.draw_legends(legends, (size[0] - legend + 14 * unit, top + heading), unit=unit)
    return page.image


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
            scale = (layer.scale, layer.table.tobytes()) if layer.scale else None
            found.setdefault((scale, tuple(layer.legend)), layer)
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
