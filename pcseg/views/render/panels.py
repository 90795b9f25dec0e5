"""Several layers of one subject side by side from one place, with one legend."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from pcseg.views.layers.coloring import Layer
from pcseg.views.render.cameras import View
from pcseg.views.render.pictures import BACKGROUND, LEGEND, TITLE, draw_layers, draw_legend, write
from pcseg.views.subject import Subject

GAP = 6


def panels_picture(
    subject: Subject,
    layers: Sequence[Layer],
    *,
    title: str,
    view: View = "inside",
    eye: tuple[float, float, float] | None = None,
    look_at: tuple[float, float, float] | None = None,
    size: tuple[int, int] = (1280, 720),
    shade: bool = True,
    mark: np.ndarray | None = None,
) -> Image.Image:
    """The layers in rows, each with its title; scales that layers share are drawn once.

    Args:
        subject: What to show.
        layers: One panel each.
        title: Stands above all of them, with the note of a single layer.
        view: ``inside`` (from a corner at eye height), ``top`` (bird's eye, without the ceiling) or ``plan``.
        eye: Place of the camera in metres, instead of the view's.
        look_at: Place in the middle of the panels in metres.
        size: Width and height in pixels.
        shade: Darken edges; without it all colours are exactly those of the legend.
        mark: Place ``(3,)`` to draw a ring around.
    """
    unit = size[1] / 720
    head, legend = round(TITLE * unit), round(LEGEND * unit)
    columns, rows = _grid(len(layers), (size[0] - legend) / (size[1] - head))
    small = round(26 * unit) if len(layers) > 1 else 0
    cell = ((size[0] - legend) // columns - GAP, (size[1] - head) // rows)
    panel = (cell[0], cell[1] - small - GAP)
    images = draw_layers(
        subject, layers, size=panel, view=view, eye=eye, look_at=look_at, shade=shade, mark=mark
    )
    page = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(page)
    if len(layers) == 1 and layers[0].note:
        title += f": {layers[0].note}"
    write(draw, (12 * unit, 8 * unit), f"{subject.name}: {title}", 22 * unit, room=size[0] - 24 * unit)
    for number, (layer, image) in enumerate(zip(layers, images)):
        x, y = number % columns * (cell[0] + GAP), head + number // columns * cell[1]
        page.paste(image, (x, y + small))
        if small:
            write(draw, (x + 8, y + 3 * unit), layer.heading, 16 * unit, room=cell[0] - 12)
    draw_legend(draw, explaining(layers), (size[0] - legend + 14 * unit, head), unit=unit, room=size[1])
    return page


def explaining(layers: Sequence[Layer]) -> list[Layer]:
    """One layer for every legend and scale that there is among ``layers``."""
    found: dict[object, Layer] = {}
    for layer in layers:
        if layer.legend or layer.scale:
            found.setdefault((layer.scale, tuple(layer.legend), layer.table.tobytes()), layer)
    return list(found.values())


def _grid(number: int, shape: float) -> tuple[int, int]:
    """Columns and rows that give panels of about 4 : 3 in a space of so many times its height in width."""
    choices = [(columns, -(-number // columns)) for columns in range(1, number + 1)]
    return max(choices, key=lambda grid: min(shape / grid[0] / (4 / 3), 1 / grid[1]))
