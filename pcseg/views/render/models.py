"""One room as several models see it, side by side from one place."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from pcseg.files import atomic_path
from pcseg.labels import Palette
from pcseg.views.layers.coloring import Layer, make_layer
from pcseg.views.render.cameras import View
from pcseg.views.render.pictures import (
    BACKGROUND,
    LEGEND,
    draw_layers,
    draw_legend,
    merged_legend,
    write,
)
from pcseg.views.subject import Subject

COLUMNS = 4
GAP = 6


def models_picture(
    truth: Subject,
    predicted: Sequence[tuple[str, Subject]],
    *,
    view: View = "inside",
    panel: tuple[int, int] = (620, 465),
    palette: Palette = "canonical",
) -> Image.Image:
    """Predictions of several models side by side, below colour and true label.

    Args:
        truth: The points with colours and labels.
        predicted: Title of each model, and the same points with its prediction.
        view: ``inside`` (from a corner at eye height), ``top`` or ``plan``.
        panel: Width and height of a single view in pixels.
        palette: Colours of the classes.
    """
    views = [
        ("colour", make_layer(truth, "rgb")),
        ("true label", make_layer(truth, "label", palette=palette)),
    ]
    views += [(name, make_layer(subject, "prediction", palette=palette)) for name, subject in predicted]
    layers = [layer for _, layer in views]
    images = draw_layers(truth, layers, size=panel, view=view)
    unit = panel[1] / 465
    title, legend = round(34 * unit), round(LEGEND * unit)
    places = _places(len(views))
    columns, rows = 1 + max(x for x, _ in places), 1 + max(y for _, y in places)
    size = (columns * (panel[0] + GAP) + legend, rows * (panel[1] + title))
    page = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(page)
    for (name, _), image, (column, row) in zip(views, images, places):
        x, y = column * (panel[0] + GAP), row * (panel[1] + title)
        page.paste(image, (x, y + title))
        text = f"{truth.name}: {name}" if (column, row) == (0, 0) else name
        write(draw, (x + 10, y + 6 * unit), text, 20 * unit)
    both: Layer = layers[1]
    for layer in layers[2:]:
        both = merged_legend(both, layer, truth.schema.names if truth.schema else ())
    draw_legend(draw, [both], (columns * (panel[0] + GAP) + 8 * unit, title), unit=unit, room=size[1])
    return page


def _places(number: int) -> list[tuple[int, int]]:
    """Column and row of each view: colour and truth above, then models in rows of :data:`COLUMNS`."""
    below = [(index % COLUMNS, 1 + index // COLUMNS) for index in range(number - 2)]
    return [(0, 0), (1, 0), *below]


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a PNG file atomically."""
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")
