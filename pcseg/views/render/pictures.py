"""Pictures with a title and a legend, and the sheet that compares truth and prediction."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pcseg.labels import Palette
from pcseg.views.layers.coloring import NO_CLASS, NOTHING, By, Layer, make_layer
from pcseg.views.render.cameras import View, make_camera, without_ceiling
from pcseg.views.render.splat import Camera, patch_size, shaded, splat, without_holes
from pcseg.views.subject import Subject

BACKGROUND, INK = (255, 255, 255), (25, 28, 33)
RING = (200, 20, 110)
TITLE, LEGEND = 40, 240
"""Height of the title and width of the legend, in pixels of a picture 720 high."""
SHORTEST, LONGEST = 120, 260
"""Length of a colour scale, likewise; it becomes shorter before entries of a legend are left out."""


def picture(
    subject: Subject,
    by: By,
    *,
    view: View = "inside",
    eye: tuple[float, float, float] | None = None,
    look_at: tuple[float, float, float] | None = None,
    size: tuple[int, int] = (1280, 720),
    palette: Palette = "canonical",
    shade: bool = True,
) -> Image.Image:
    """One view of a subject with title and legend.

    Args:
        subject: What to show.
        by: What the colours mean.
        view: ``inside`` (from a corner at eye height), ``top`` (bird's eye, without the ceiling) or ``plan``.
        eye: Place of the camera in metres, instead of the view's.
        look_at: Place in the middle of the picture in metres.
        size: Width and height in pixels.
        palette: Colours of the classes.
        shade: Darken edges; without it all colours are exactly those of the legend.

    Raises:
        UserError: The subject lacks what it shall be coloured by.
    """
    layer = make_layer(subject, by, palette=palette)
    unit = size[1] / 720
    left = size[0] - (round(LEGEND * unit) if layer.legend or layer.scale else 0)
    panel = (left, size[1] - round(TITLE * unit))
    (image,) = draw_layers(subject, [layer], size=panel, view=view, eye=eye, look_at=look_at, shade=shade)
    page = Image.new("RGB", size, BACKGROUND)
    page.paste(image, (0, size[1] - panel[1]))
    draw = ImageDraw.Draw(page)
    write(draw, (12 * unit, 8 * unit), f"{subject.name}: {layer.title}", 22 * unit)
    draw_legend(draw, [layer], (left + 14 * unit, TITLE * unit), unit=unit, room=size[1])
    return page


def compare_picture(
    subject: Subject,
    *,
    view: View = "inside",
    size: tuple[int, int] = (1840, 1040),
    palette: Palette = "canonical",
    shade: bool = True,
) -> Image.Image:
    """A sheet of four views from one place: colour (or height), true label, prediction, error.

    Raises:
        UserError: The subject lacks labels or a prediction.
    """
    ways: list[By] = ["rgb" if subject.color is not None else "height", "label", "prediction", "error"]
    layers = [make_layer(subject, by, palette=palette) for by in ways]
    unit, gap = 1.25, 6
    title, legend = round(34 * unit), round(LEGEND * unit)
    panel = ((size[0] - legend - gap) // 2, (size[1] - 2 * title) // 2)
    images = draw_layers(subject, layers, size=panel, view=view, shade=shade)
    page = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(page)
    for index, (layer, image) in enumerate(zip(layers, images)):
        x, y = index % 2 * (panel[0] + gap), index // 2 * (panel[1] + title)
        page.paste(image, (x, y + title))
        text = f"{subject.name}: {layer.title}" if index == 0 else layer.title
        write(draw, (x + 10, y + 6 * unit), text, 20 * unit)
    truth, error = layers[1], layers[3]
    both = merged_legend(truth, layers[2], subject.schema.names if subject.schema else ())
    draw_legend(draw, [both, error], (size[0] - legend + 14 * unit, title), unit=unit, room=size[1])
    return page


def draw_layers(
    subject: Subject,
    layers: Sequence[Layer],
    *,
    size: tuple[int, int],
    view: View = "inside",
    eye: tuple[float, float, float] | None = None,
    look_at: tuple[float, float, float] | None = None,
    shade: bool = True,
    mark: np.ndarray | None = None,
) -> list[Image.Image]:
    """One picture a layer, all from the same camera; a ring around the place ``mark`` (3,)."""
    if subject.pixels is not None:
        return [draw_pixels(layer.color, subject.pixels, size, mark=mark) for layer in layers]
    rows = slice(None) if view == "inside" else without_ceiling(subject.pos)
    pos = subject.pos[rows]
    camera = make_camera(
        pos, view, width=size[0], height=size[1], sensor=subject.sensor, eye=eye, look_at=look_at
    )
    images = [
        Image.fromarray(image)
        for image in render(pos, [layer.color[rows] for layer in layers], camera, shade=shade)
    ]
    if mark is not None:
        u, v, depth = camera.project(mark[None].astype(np.float64))
        if depth[0] > camera.near:
            draw_ring(images, (float(u[0]), float(v[0])))
    return images


def draw_pixels(
    color: np.ndarray, pixels: tuple[int, int], size: tuple[int, int], *, mark: np.ndarray | None
) -> Image.Image:
    """Colours ``(H*W, 3)`` of a picture of ``pixels`` (H, W), as large as fits into ``size``, on white."""
    height, width = pixels
    factor = min(size[0] / width, size[1] / height)
    image = Image.fromarray(color.reshape(height, width, 3))
    shown = (max(round(width * factor), 1), max(round(height * factor), 1))
    page = Image.new("RGB", size, BACKGROUND)
    page.paste(image.resize(shown, Image.Resampling.NEAREST))
    if mark is not None:
        draw_ring([page], (float(mark[0]) * factor, float(mark[1]) * factor))
    return page


def draw_ring(images: Sequence[Image.Image], at: tuple[float, float]) -> None:
    """A ring that shows on dark and on bright colours."""
    for image in images:
        draw = ImageDraw.Draw(image)
        for color, radius, width in ((BACKGROUND, 12, 5), (RING, 11, 3)):
            draw.circle(at, radius, outline=color, width=width)


def render(
    pos: np.ndarray, colors: Sequence[np.ndarray], camera: Camera, *, shade: bool = False
) -> list[np.ndarray]:
    """Images ``(H, W, 3)`` uint8 of points ``(N, 3)`` in each of ``colors`` (N, 3)."""
    row, depth = splat(pos, patch_size(pos), camera)
    for _ in range(2):
        row, depth = without_holes(row, depth)
    background = np.array([BACKGROUND], np.uint8)  # row -1: nothing is seen
    images = []
    for color in colors:
        image = np.concatenate([color, background])[row]
        images.append(shaded(image, depth) if shade else image)
    return images


def merged_legend(truth: Layer, prediction: Layer, names: Sequence[str]) -> Layer:
    """The classes of both in the order of ``names``, without their shares."""
    colors = {text.rsplit("  ", 1)[0]: color for text, color in [*truth.legend, *prediction.legend]}
    legend = [(name, colors[name]) for name in [*names, NO_CLASS] if name in colors]
    return Layer(by="label", title=truth.title, legend=legend)


def draw_legend(
    draw: ImageDraw.ImageDraw, layers: Sequence[Layer], at: tuple[float, float], *, unit: float, room: int
) -> None:
    """Squares with names, and scales, from ``at`` down to ``room``; entries that do not fit are counted."""
    x, y = at
    step, gap, around = 29 * unit, 16 * unit, 14 * unit
    end = room - 8 * unit
    scales = max(sum(layer.scale is not None for layer in layers), 1)
    free = end - y - sum(len(layer.legend) for layer in layers) * step - gap * (len(layers) - 1)
    length = min(max(free / scales - around, SHORTEST * unit), LONGEST * unit)
    tall = [length + around if layer.scale else 0.0 for layer in layers]
    for number, layer in enumerate(layers):
        # of each layer that follows, the scale and three entries have room
        below = sum(
            gap + min(len(later.legend), 3) * step + scale
            for later, scale in zip(layers[number + 1 :], tall[number + 1 :])
        )
        most = max(int((end - y - tall[number] - below) / step), 1)
        entries = layer.legend if len(layer.legend) <= most else layer.legend[: most - 1]
        for text, color in entries:
            draw.rectangle((x, y + 3 * unit, x + 19 * unit, y + 22 * unit), fill=color, outline=INK)
            write(draw, (x + 28 * unit, y + 2 * unit), text, 17 * unit)
            y += step
        if len(entries) < len(layer.legend):
            write(draw, (x, y), f"and {len(layer.legend) - len(entries)} more", 17 * unit)
            y += step
        if layer.scale:
            draw_scale(draw, layer, (x, y + 10 * unit), unit=unit, length=length)
        y += tall[number] + gap


def draw_scale(
    draw: ImageDraw.ImageDraw, layer: Layer, at: tuple[float, float], *, unit: float, length: float
) -> None:
    """An upright colour scale, ``length`` pixels long, with its ends named, high above low."""
    assert layer.scale is not None
    x, y = at
    pixels = round(length)
    for row in range(pixels):
        color = layer.table[round((1 - row / max(pixels - 1, 1)) * (NOTHING - 1))]
        draw.line((x, y + row, x + 26 * unit, y + row), fill=tuple(color.tolist()))
    write(draw, (x + 36 * unit, y - 4 * unit), layer.scale[1], 17 * unit)
    write(draw, (x + 36 * unit, y + pixels - 16 * unit), layer.scale[0], 17 * unit)


def write(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: float, *, room: float | None = None
) -> None:
    """Text in Pillow's own font, which is there on every machine; smaller where ``room`` is narrower."""
    font = ImageFont.load_default(size)
    if room is not None and (length := draw.textlength(text, font=font)) > room:
        font = ImageFont.load_default(size * room / length)
    draw.text(at, text, fill=INK, font=font)
