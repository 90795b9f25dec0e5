"""What a head knows of a whole cloud, as a page of charts: similarities, presence, factors of channels."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from pcseg.errors import UserError
from pcseg.labels import LabelSchema, Palette, class_colors
from pcseg.views.layers.head_maps import HeadMaps
from pcseg.views.layers.palette import scale_colors
from pcseg.views.render.pictures import BACKGROUND, INK, TITLE, write

PREDICTED, TRUE = (5, 88, 150), (241, 163, 64)
"""Bars of what is predicted and of what is true: blue and orange."""
GRID = (215, 218, 222)

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


def context_picture(
    name: str,
    maps: HeadMaps,
    schema: LabelSchema,
    *,
    size: tuple[int, int] = (1280, 720),
    palette: Palette = "canonical",
    whole: str = "cloud",
) -> Image.Image:
    """Class similarities and probabilities (CTNet), presence and codewords (EncNet), factors of channels.

    Args:
        name: For the title.
        maps: What the head did.
        schema: The classes.
        size: Width and height in pixels.
        palette: Colours of the classes.
        whole: What the head saw: a cloud, a picture.

    Raises:
        UserError: The head keeps nothing of the whole.
    """
    if maps.channel is None:
        raise UserError(f"{name}: {maps.head} keeps no context of the whole {whole}; CTNet and EncNet do")
    page = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(page)
    width, height = size
    unit = min(height / 720, width / 1280)
    write(draw, (12 * unit, 8 * unit), f"{name}: context of the whole {whole}, {maps.head}", 22 * unit)
    top, middle = TITLE * unit + 8 * unit, 0.70 * height
    colors = [tuple(color) for color in class_colors(schema, palette)[:-1].tolist()]
    if maps.similarity:
        edge = min(middle - top, 0.36 * width)
        for number, (what, matrix) in enumerate(maps.similarity.items()):
            left = 10 * unit + number * (edge + 16 * unit)
            draw_matrix(draw, (left, top, left + edge, top + edge), matrix, f"cosine of {what}", colors, unit)
        left = 10 * unit + len(maps.similarity) * (edge + 16 * unit) + 8 * unit
    else:
        left = 0.5 * width
    right = (left, top, width - 14 * unit, middle - 8 * unit)
    if maps.class_prob is not None:
        series = [("predicted", PREDICTED, maps.class_prob), ("target", TRUE, maps.frequency)]
        title = f"class probability of the {whole}"
        draw_class_bars(draw, right, title, series, schema.names, colors, unit)
    if maps.presence is not None:
        present = None if maps.present is None else maps.present.astype(np.float32)
        series = [("predicted", PREDICTED, maps.presence), ("true", TRUE, present)]
        draw_class_bars(draw, right, "class presence", series, schema.names, colors, unit)
    if maps.assignment is not None and maps.smoothing is not None:
        half = (top + middle) / 2
        left_box = (14 * unit, top, 0.5 * width - 30 * unit, half - 10 * unit)
        draw_bars(draw, left_box, "mean share of each codeword", maps.assignment.mean(axis=0), unit)
        below = (left_box[0], half, left_box[2], middle - 8 * unit)
        draw_bars(draw, below, "smoothing factor of each codeword", maps.smoothing, unit)
    box = (14 * unit, middle + 6 * unit, width - 14 * unit, height - 8 * unit)
    what = "channel context vector" if maps.class_prob is not None else "scaling factors of the channels"
    draw_bars(draw, box, f"{what} ({len(maps.channel)} channels)", maps.channel, unit)
    return page


def draw_matrix(
    draw: ImageDraw.ImageDraw,
    box: Box,
    matrix: np.ndarray,
    title: str,
    colors: Sequence[tuple[int, ...]],
    unit: float,
) -> None:
    """A matrix ``(K, K)`` of cosines, 0 dark and 1 bright, with the colours of the classes along its sides.

    What lies below 0 is drawn as 0. The smallest and the largest value beside the diagonal stand below.
    """
    left, top, right, bottom = box
    number = len(matrix)
    write(draw, (left, top), title, 16 * unit)
    strip, foot = 12 * unit, 24 * unit
    top += 24 * unit
    cell = min(right - left - strip, bottom - top - strip - foot) / number
    shades = scale_colors(matrix.ravel()).reshape(number, number, 3)
    for i in range(number):
        y = top + strip + i * cell
        fill(draw, (left, y, left + strip - 2, y + cell - 1), colors[i])
        x = left + strip + i * cell
        fill(draw, (x, top, x + cell - 1, top + strip - 2), colors[i])
        for j in range(number):
            x = left + strip + j * cell
            fill(draw, (x, y, x + cell - 1, y + cell - 1), tuple(shades[i, j].tolist()))
    beside = matrix[~np.eye(number, dtype=bool)]
    if len(beside):
        text = f"between classes: {beside.min():.3f} to {beside.max():.3f}"
        write(draw, (left, top + strip + number * cell + 4 * unit), text, 15 * unit)


def draw_class_bars(
    draw: ImageDraw.ImageDraw,
    box: Box,
    title: str,
    series: Sequence[tuple[str, tuple[int, int, int], np.ndarray | None]],
    names: Sequence[str],
    colors: Sequence[tuple[int, ...]],
    unit: float,
) -> None:
    """Horizontal bars, a row a class with its colour, a bar a series; the number is that of the first one.

    Of more classes than there is room for, those with the longest bars are drawn, and the rest is counted.
    """
    left, top, right, bottom = box
    there = [(name, color, values) for name, color, values in series if values is not None]
    write(draw, (left, top), title, 16 * unit)
    x = left
    for name, color, _ in there:
        draw.rectangle((x, top + 26 * unit, x + 14 * unit, top + 40 * unit), fill=color)
        write(draw, (x + 20 * unit, top + 23 * unit), name, 15 * unit)
        x += 112 * unit
    top += 48 * unit
    longest = np.max([values for _, _, values in there], axis=0)
    room = max(int((bottom - top) / (15 * unit)), 2)
    order = np.argsort(-longest, kind="stable")
    shown: list[int] = sorted(order[: len(names) if len(names) <= room else room - 1].tolist())
    rest = order[len(shown) :]
    step = min((bottom - top) / max(len(shown) + bool(len(rest)), 1), 32 * unit)
    start = left + min(max(map(len, names)) * 8.5, 170) * unit + 20 * unit
    most = max(float(longest.max()), 1e-9)
    for row, i in enumerate(shown):
        y = top + row * step
        fill(draw, (left, y + 2 * unit, left + 12 * unit, y + step - 4 * unit), colors[i])
        write(draw, (left + 17 * unit, y + step / 2 - 10 * unit), names[i][:20], 15 * unit)
        thick = (step - 4 * unit) / len(there)
        ends = [max(float(values[i]), 0) / most * (right - start - 46 * unit) for _, _, values in there]
        for number, ((_, color, _), end) in enumerate(zip(there, ends)):
            bar = y + number * thick
            fill(draw, (start, bar + 1, start + max(end, 1), bar + thick - 1), color)
        place = (start + max(ends) + 4, y + step / 2 - 10 * unit)
        write(draw, place, f"{there[0][2][i]:.2f}", 13 * unit)
    if len(rest):
        place = (left + 17 * unit, top + len(shown) * step + step / 2 - 10 * unit)
        write(draw, place, f"and {len(rest)} more, each at most {longest[rest].max():.2g}", 15 * unit)


def draw_bars(draw: ImageDraw.ImageDraw, box: Box, title: str, values: np.ndarray, unit: float) -> None:
    """Upright bars from a line at 0, with the smallest and the largest value in the title."""
    left, top, right, bottom = box
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    text = f"{title}: {values.min():.3g} to {values.max():.3g}"
    write(draw, (left, top), text, 16 * unit)
    top += 26 * unit
    span = max(high - low, 1e-9)
    zero = bottom - (0 - low) / span * (bottom - top)
    step = (right - left) / len(values)
    gap = 1 if step > 3 else 0
    for i, value in enumerate(values):
        end = bottom - (float(value) - low) / span * (bottom - top)
        x = left + i * step
        fill(draw, (x, min(end, zero), x + step - 1 - gap, max(end, zero)), PREDICTED)
    draw.line((left, zero, right, zero), fill=INK)
    draw.line((left, bottom, right, bottom), fill=GRID)


def fill(draw: ImageDraw.ImageDraw, box: Box, color: tuple[int, ...]) -> None:
    """A filled rectangle; where it has become narrower than a pixel, a line."""
    left, top, right, bottom = box
    draw.rectangle((left, top, max(left, right), max(top, bottom)), fill=color)
