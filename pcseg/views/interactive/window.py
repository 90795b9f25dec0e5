"""A window to turn a cloud around in, with one switch a colouring."""

import os
import sys
from collections.abc import Callable, Sequence

import numpy as np

from pcseg.errors import UserError
from pcseg.labels import Palette
from pcseg.views.layers.coloring import NAMES, NOTHING, By, Layer
from pcseg.views.layers.head_layers import all_layers
from pcseg.views.subject import Subject


def has_screen() -> bool:
    """Whether a window can be opened."""
    return sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def show(
    subject: Subject,
    by: By,
    *,
    palette: Palette = "canonical",
    point: int | None = None,
    tell: Callable[[str], object] | None = None,
) -> None:
    """Open a window with the cloud coloured in every way it can be; ``by`` is switched on. Waits until it closes.

    Args:
        subject: The points.
        by: The colouring that is shown first.
        palette: Colours of the classes.
        point: The one that looks, where attention is shown.
        tell: Called with what the colours of each switch mean, for the window itself has no legend.

    Raises:
        UserError: There is no screen, Open3D is not installed, or the subject lacks what ``by`` needs.
    """
    if not has_screen():
        raise UserError("there is no screen to open a window on; give --png FILE for a picture")
    try:
        import open3d as o3d
    except ImportError as error:
        raise UserError(
            "a window needs Open3D: pip install open3d; or give --png FILE for a picture"
        ) from error
    layers = all_layers(subject, palette=palette, point=point)
    shown = next((number for number, layer in enumerate(layers) if layer.by == by), None)
    if shown is None:
        ways = ", ".join(dict.fromkeys(layer.by for layer in layers))
        raise UserError(f"{subject.name}: nothing to colour by {by}; choose one of {ways}")
    entries = []
    for number, layer in enumerate(layers):
        name = layer.by if layer.title in NAMES.values() else layer.title
        if tell is not None and (layer.legend or layer.scale):
            tell(f"{name}: {legend_text(layer, blocks=sys.stdout.isatty())}")
        cloud = o3d.t.geometry.PointCloud(o3d.core.Tensor.from_numpy(np.ascontiguousarray(subject.pos)))
        cloud.point.colors = o3d.core.Tensor.from_numpy(np.ascontiguousarray(layer.color))
        entries.append({"name": name, "geometry": cloud, "is_visible": number == shown})
    o3d.visualization.draw(entries, title=subject.name, show_ui=True, point_size=3)


def legend_text(layer: Layer, *, blocks: bool) -> str:
    """The legend of a layer in a line; colours are ``blocks`` for a terminal that has colours, or codes (#rrggbb)."""

    def shown(color: Sequence[int]) -> str:
        red, green, blue = map(int, color)
        return f"\x1b[48;2;{red};{green};{blue}m  \x1b[0m" if blocks else f"#{red:02x}{green:02x}{blue:02x}"

    parts = [f"{shown(color)} {text}" for text, color in layer.legend]
    if layer.scale:
        ends = zip((0, NOTHING - 1), layer.scale)
        parts.append(" to ".join(f"{shown(layer.table[place])} {text}" for place, text in ends))
    return ", ".join(parts) + (f" ({layer.note})" if layer.note else "")
