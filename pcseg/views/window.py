"""A window to turn a cloud around in, with one switch a colouring."""

import os
import sys

import numpy as np

from pcseg.errors import UserError
from pcseg.views.coloring import NAMES, By
from pcseg.views.head_layers import all_layers
from pcseg.views.palette import Palette
from pcseg.views.subject import Subject


def has_screen() -> bool:
    """Whether a window can be opened."""
    return sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def show(subject: Subject, by: By, *, palette: Palette = "canonical", point: int | None = None) -> None:
    """Open a window with the cloud coloured in every way it can be; ``by`` is switched on. Waits until it closes.

    ``point`` is the one that looks, where attention is shown.

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
        cloud = o3d.t.geometry.PointCloud(o3d.core.Tensor.from_numpy(np.ascontiguousarray(subject.pos)))
        cloud.point.colors = o3d.core.Tensor.from_numpy(np.ascontiguousarray(layer.color))
        name = layer.by if layer.title in NAMES.values() else layer.title
        entries.append({"name": name, "geometry": cloud, "is_visible": number == shown})
    o3d.visualization.draw(entries, title=subject.name, show_ui=True, point_size=3)
