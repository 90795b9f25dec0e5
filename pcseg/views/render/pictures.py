"""Pictures of a subject: layers side by side, a sheet, or the predictions of several models."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from pcseg.labels import Palette
from pcseg.views.layers.coloring import By, Layer, make_layer
from pcseg.views.render.cameras import INSIDE, Viewpoint
from pcseg.views.render.pages import BACKGROUND, Panel, compose, distinct_legends, merge_legends, panel_grid
from pcseg.views.render.splat import Camera, eye_dome_light, fill_holes, patch_size, splat
from pcseg.views.subject import Subject

RING = (200, 20, 110)
COLUMNS = 4
"""Models per row."""


def layers_picture(
    subject: Subject,
    layers: Sequence[Layer],
    *,
    title: str | None = None,
    legends: Sequence[Layer] | None = None,
    viewpoint: Viewpoint = INSIDE,
    size: tuple[int, int] = (1280, 720),
    mark: int | None = None,
) -> Image.Image:
    """Draw layers side by side, with headings if there are several.

    By default the title is the heading of the first layer, and each legend that occurs is drawn. A ring marks the
    point with row ``mark``.
    """
    unit = size[1] / 720
    legends = distinct_legends(layers) if legends is None else legends
    columns, panel = panel_grid(len(layers), size, unit=unit, legend=bool(legends))
    images = draw_layers(subject, layers, size=panel, viewpoint=viewpoint, mark=mark)
    headings = [layer.heading for layer in layers] if len(layers) > 1 else [""]
    panels = [Panel(heading, image) for heading, image in zip(headings, images)]
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    title = layers[0].heading if title is None else title
    return compose(f"{subject.name}: {title}", rows, legends, unit=unit, size=size)


def sheet_picture(
    subject: Subject,
    *,
    viewpoint: Viewpoint = INSIDE,
    size: tuple[int, int] = (1840, 1040),
    palette: Palette = "canonical",
) -> Image.Image:
    """Draw color (or height), true label, prediction and error side by side.

    Raises:
        UserError: The subject lacks labels or a prediction.
    """
    kinds: list[By] = ["rgb" if subject.color is not None else "height", "label", "prediction", "error"]
    layers = [make_layer(subject, by, palette=palette) for by in kinds]
    legends = [*merge_legends(layers[1:3], subject.class_names), layers[3]]
    title = "prediction and error"
    return layers_picture(subject, layers, title=title, legends=legends, viewpoint=viewpoint, size=size)


def models_picture(
    subject: Subject, predictions: Mapping[str, np.ndarray], *, panel: tuple[int, int] = (620, 465)
) -> Image.Image:
    """Draw predictions of several models, given by name, side by side, below color and true label."""
    layers = [make_layer(subject, "rgb"), make_layer(subject, "label")]
    for name, prediction in predictions.items():
        layers.append(replace(make_layer(replace(subject, prediction=prediction), "prediction"), title=name))
    images = draw_layers(subject, layers, size=panel)
    panels = [Panel(layer.title, image) for layer, image in zip(layers, images)]
    starts = range(2, len(panels), COLUMNS)
    rows = [panels[:2], *(panels[start : start + COLUMNS] for start in starts)]
    return compose(subject.name, rows, merge_legends(layers, subject.class_names), unit=panel[1] / 465)


def draw_layers(
    subject: Subject,
    layers: Sequence[Layer],
    *,
    size: tuple[int, int],
    viewpoint: Viewpoint = INSIDE,
    mark: int | None = None,
) -> list[Image.Image]:
    """Draw every layer from the same camera, with a ring around the point ``mark``."""
    if subject.pixels is not None:
        return [draw_pixels(layer.color, subject.pixels, size, mark=mark) for layer in layers]
    rows, camera = viewpoint.apply(subject, size)
    images = render(subject.pos, layers, camera, rows=rows, shade=True)
    if mark is not None:
        u, v, depth = camera.project(subject.pos[[mark]].astype(np.float64))
        if depth[0] > camera.near:
            draw_ring(images, (float(u[0]), float(v[0])))
    return images


def draw_pixels(
    color: np.ndarray, pixels: tuple[int, int], size: tuple[int, int], *, mark: int | None = None
) -> Image.Image:
    """Draw the colors ``(H*W, 3)`` of an image of ``pixels`` (H, W) as large as fits into ``size``, on white."""
    height, width = pixels
    factor = min(size[0] / width, size[1] / height)
    image = Image.fromarray(color.reshape(height, width, 3))
    shown = (max(round(width * factor), 1), max(round(height * factor), 1))
    page = Image.new("RGB", size, BACKGROUND)
    page.paste(image.resize(shown, Image.Resampling.NEAREST))
    if mark is not None:
        row, column = divmod(mark, width)
        draw_ring([page], ((column + 0.5) * factor, (row + 0.5) * factor))
    return page


def draw_ring(images: Sequence[Image.Image], at: tuple[float, float]) -> None:
    """Draw a ring that is visible on dark and on bright colors."""
    for image in images:
        draw = ImageDraw.Draw(image)
        for color, radius, width in ((BACKGROUND, 12, 5), (RING, 11, 3)):
            draw.circle(at, radius, outline=color, width=width)


def render(
    pos: np.ndarray,
    layers: Sequence[Layer],
    camera: Camera,
    *,
    rows: np.ndarray | slice = slice(None),
    shade: bool = False,
) -> list[Image.Image]:
    """Render the points ``rows`` of ``pos`` ``(N, 3)`` in the colors of each layer; ``shade`` darkens edges."""
    pos = pos[rows]
    row, depth = splat(pos, patch_size(pos), camera)
    for _ in range(2):
        row, depth = fill_holes(row, depth)
    empty = row < 0
    point = row if isinstance(rows, slice) else rows[row]
    light = eye_dome_light(depth)[:, :, None] if shade else 1.0
    images = []
    for layer in layers:
        color = (layer.color_of(point) * light).astype(np.uint8)
        color[empty] = BACKGROUND
        images.append(Image.fromarray(color))
    return images
