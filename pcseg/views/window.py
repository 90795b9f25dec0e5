"""A window to turn a cloud around in, with one switch a colouring."""

import os
import sys

import numpy as np

from pcseg.errors import UserError
from pcseg.views.coloring import By, available, make_layer
from pcseg.views.palette import Palette
from pcseg.views.subject import Subject


def has_screen() -> bool:
    """Whether a window can be opened."""
    return sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def show(subject: Subject, by: By, *, palette: Palette = "canonical") -> None:
    """Open a window with the cloud coloured in every way it can be; ``by`` is switched on. Waits until it closes.

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
    make_layer(subject, by)
    entries = []
    for way in available(subject):
        color = make_layer(subject, way, palette=palette).color
        cloud = o3d.t.geometry.PointCloud(o3d.core.Tensor.from_numpy(np.ascontiguousarray(subject.pos)))
        cloud.point.colors = o3d.core.Tensor.from_numpy(np.ascontiguousarray(color))
        entries.append({"name": way, "geometry": cloud, "is_visible": way == by})
    o3d.visualization.draw(entries, title=subject.name, show_ui=True, point_size=3)
