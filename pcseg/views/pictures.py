"""Pictures with a title and a legend, and the sheet that compares truth and prediction."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pcseg.views.cameras import View, make_camera, without_ceiling
from pcseg.views.coloring import NO_CLASS, By, Layer, make_layer
from pcseg.views.palette import Palette, scale_colors
from pcseg.views.splat import Camera, patch_size, shaded, splat, without_holes
from pcseg.views.subject import Subject

BACKGROUND, INK = (255, 255, 255), (25, 28, 33)
TITLE, LEGEND = 40, 240
"""Height of the title and width of the legend, in pixels of a picture 720 high."""


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
    write(draw, (12 * unit, 8 * unit), f"{subject.name}: {NAMES[by]}", 22 * unit)
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
        text = f"{subject.name}: {NAMES[layer.by]}" if index == 0 else NAMES[layer.by]
        write(draw, (x + 10, y + 6 * unit), text, 20 * unit)
    truth, error = layers[1], layers[3]
    both = merged_legend(truth, layers[2], subject.schema.names if subject.schema else ())
    draw_legend(draw, [both, error], (size[0] - legend + 14 * unit, title), unit=unit, room=size[1])
    return page


NAMES: dict[str, str] = {
    "rgb": "colour", "label": "true label", "prediction": "prediction", "error": "error",
    "confidence": "confidence", "height": "height",
}  # fmt: skip


def draw_layers(
    subject: Subject,
    layers: Sequence[Layer],
    *,
    size: tuple[int, int],
    view: View = "inside",
    eye: tuple[float, float, float] | None = None,
    look_at: tuple[float, float, float] | None = None,
    shade: bool = True,
) -> list[Image.Image]:
    """One picture a layer, all from the same camera."""
    rows = slice(None) if view == "inside" else without_ceiling(subject.pos)
    pos = subject.pos[rows]
    camera = make_camera(
        pos, view, width=size[0], height=size[1], sensor=subject.sensor, eye=eye, look_at=look_at
    )
    return [
        Image.fromarray(image)
        for image in render(pos, [layer.color[rows] for layer in layers], camera, shade=shade)
    ]


def render(
    pos: np.ndarray, colors: Sequence[np.ndarray], camera: Camera, *, shade: bool = False
) -> list[np.ndarray]:
    """Images ``(H, W, 3)`` uint8 of points ``(N, 3)`` in each of ``colors`` (N, 3)."""
    row, depth = splat(pos, patch_size(pos), camera)
    for _ in range(2):
        row, depth = without_holes(row, depth)
    images = []
    for color in colors:
        image = np.concatenate([color, [BACKGROUND]]).astype(np.uint8)[row]
        images.append(shaded(image, depth) if shade else image)
    return images


def merged_legend(truth: Layer, prediction: Layer, names: Sequence[str]) -> Layer:
    """The classes of both in the order of ``names``, without their shares."""
    colors = {text.rsplit("  ", 1)[0]: color for text, color in [*truth.legend, *prediction.legend]}
    legend = [(name, colors[name]) for name in [*names, NO_CLASS] if name in colors]
    return Layer(by="label", color=truth.color, legend=legend)


def draw_legend(
    draw: ImageDraw.ImageDraw, layers: Sequence[Layer], at: tuple[float, float], *, unit: float, room: int
) -> None:
    """Squares with names, and scales, from ``at`` downwards."""
    x, y = at
    step = 29 * unit
    for layer in layers:
        most = max(int((room - y - 8 * unit) / step), 1)
        entries = layer.legend if len(layer.legend) <= most else layer.legend[: most - 1]
        for text, color in entries:
            draw.rectangle((x, y + 3 * unit, x + 19 * unit, y + 22 * unit), fill=color, outline=INK)
            write(draw, (x + 28 * unit, y + 2 * unit), text, 17 * unit)
            y += step
        if len(entries) < len(layer.legend):
            write(draw, (x, y), f"and {len(layer.legend) - len(entries)} more", 17 * unit)
        if layer.scale:
            draw_scale(draw, layer.scale, (x, y + 10 * unit), unit=unit)
        y += 16 * unit


def draw_scale(
    draw: ImageDraw.ImageDraw, ends: tuple[str, str], at: tuple[float, float], *, unit: float
) -> None:
    """An upright colour scale with its ends named, high above low."""
    x, y = at
    length = round(260 * unit)
    for index, color in enumerate(scale_colors(np.linspace(1, 0, length))):
        draw.line((x, y + index, x + 26 * unit, y + index), fill=tuple(color.tolist()))
    write(draw, (x + 36 * unit, y - 4 * unit), ends[1], 17 * unit)
    write(draw, (x + 36 * unit, y + length - 16 * unit), ends[0], 17 * unit)


def write(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: float) -> None:
    """Text in Pillow's own font, which is there on every machine."""
    draw.text(at, text, fill=INK, font=ImageFont.load_default(size))
