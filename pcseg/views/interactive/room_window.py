"""An Open3D window of a cloud: layers to switch, their legend, and a description of the point that is clicked."""

from collections.abc import Callable
from dataclasses import replace
from textwrap import wrap
from typing import Any

import numpy as np
from rich.text import Text

from pcseg.views.interactive.picking import describe, point_on_ray
from pcseg.views.layers.coloring import TITLES, Coloring, Layer
from pcseg.views.layers.head_layers import browse_layers
from pcseg.views.render.cameras import Viewpoint, below_ceiling
from pcseg.views.render.pages import MARGIN, MAX_SCALE, ROW, Page
from pcseg.views.subject import Subject

SIZE = (1280, 800)
PANEL = 240
"""Width of the panel at the right, in pixels."""

HELP = "1-9, left, right: layer\nC: ceiling\ndrag: rotate, wheel: zoom\nclick: describe a point"
CLICK = 3
"""Pixels that the mouse may move between pressing and releasing a button for a click."""


class RoomWindow:
    """A window with a view of the cloud at the left, and a panel with the layers at the right.

    Args:
        subject: The cloud.
        coloring: Layer that is shown first.
        viewpoint: Camera. A view from above starts without the ceiling.
        report: Function that prints the description of a point.
    """

    def __init__(
        self, subject: Subject, coloring: Coloring, viewpoint: Viewpoint, report: Callable[[Text], object]
    ) -> None:
        import open3d as o3d

        self.o3d, self.gui = o3d, o3d.visualization.gui
        self.subject, self.coloring, self.report = subject, coloring, report
        self.layers, self.shown = browse_layers(subject, coloring)
        rows, self.camera = viewpoint.apply(subject, (SIZE[0] - PANEL, SIZE[1]))
        self.ceiling = isinstance(rows, slice)
        self.low: np.ndarray | None = None  # rows below the ceiling, found when needed
        self.pressed = np.zeros(2)
        self.gui.Application.instance.initialize()
        self.window = self.gui.Application.instance.create_window(subject.name, *SIZE)
        self.window.set_on_layout(self._layout)
        self.window.set_on_key(self.on_key)
        self.view = self._make_view()
        self.panel = self.gui.Vert(8, self.gui.Margins(12, 12, 12, 12))
        self.choice, self.legend = self.gui.Combobox(), self.gui.WidgetProxy()
        self.choice.set_on_selection_changed(lambda _, number: self.show(number))
        self.text = self.gui.Label("")
        for part in (self.choice, self.gui.Label(HELP), self.legend, self.text):
            self.panel.add_child(part)
        for part in (self.view, self.panel):
            self.window.add_child(part)
        for layer in self.layers:
            self.choice.add_item(name_of(layer))
        self.show(self.shown)

    def _make_view(self) -> Any:
        view, rendering = self.gui.SceneWidget(), self.o3d.visualization.rendering
        view.scene = rendering.Open3DScene(self.window.renderer)
        view.scene.set_background([1.0, 1.0, 1.0, 1.0])
        view.scene.view.set_post_processing(False)  # tone mapping would change the colors
        view.set_on_mouse(self.on_mouse)
        self.material = rendering.MaterialRecord()
        self.material.shader, self.material.point_size = "defaultUnlit", 3 * self.window.scaling
        bounds = self.o3d.geometry.AxisAlignedBoundingBox(
            self.subject.pos.min(0).astype(np.float64), self.subject.pos.max(0).astype(np.float64)
        )
        camera, width = self.camera, SIZE[0] - PANEL
        vertical = 2 * np.arctan(np.tan(np.radians(camera.fov) / 2) * SIZE[1] / width)
        view.setup_camera(float(np.degrees(vertical)), bounds, bounds.get_center())
        view.look_at(camera.target, camera.eye, -camera.axes[1])
        view.center_of_rotation = camera.target.astype(np.float32)
        return view

    @property
    def rows(self) -> np.ndarray | slice:
        """Rows of the points that are drawn."""
        if self.ceiling:
            return slice(None)
        if self.low is None:
            self.low = np.flatnonzero(below_ceiling(self.subject.pos))
        return self.low

    def show(self, number: int) -> None:
        """Show a layer; its points are uploaded when it is shown for the first time."""
        self.shown, scene = number % len(self.layers), self.view.scene
        layer = self.layers[self.shown]
        name = f"{self.shown} {self.ceiling}"
        if not scene.has_geometry(name):
            tensor = self.o3d.core.Tensor.from_numpy
            pos = np.ascontiguousarray(self.subject.pos[self.rows], dtype=np.float32)
            cloud = self.o3d.t.geometry.PointCloud(tensor(pos))
            color = layer.color_of(self.rows).astype(np.float32) / 255  # Open3D warns about integer colors
            cloud.point.colors = tensor(np.ascontiguousarray(color))
            scene.add_geometry(name, cloud, self.material)
        for other in range(len(self.layers)):
            for ceiling in (True, False):
                scene.show_geometry(f"{other} {ceiling}", f"{other} {ceiling}" == name)
        self.choice.selected_index = self.shown
        legend = self.gui.Vert(8)
        legend.add_child(self.gui.Label(wrapped(layer.heading)))
        if layer.legend or layer.scale:
            legend.add_child(self.gui.ImageWidget(self.o3d.geometry.Image(legend_picture(layer))))
        self.legend.set_widget(legend)
        self.window.set_needs_layout()
        self.window.post_redraw()

    def on_key(self, event: Any) -> bool:
        """Switch the layer or the ceiling."""
        key, names = event.key, self.gui.KeyName
        if event.type != self.gui.KeyEvent.Type.DOWN:
            return False
        if key in (names.LEFT, names.RIGHT):
            self.show(self.shown + (1 if key == names.RIGHT else -1))
        elif names.ONE.value <= int(key) < names.ONE.value + min(9, len(self.layers)):
            self.show(int(key) - names.ONE.value)
        elif key == names.C:
            self.ceiling = not self.ceiling
            self.show(self.shown)
        else:
            return False
        return True

    def on_mouse(self, event: Any) -> Any:
        """Describe the point under a click, which is not the start of a drag."""
        types, at = self.gui.MouseEvent.Type, np.array([event.x, event.y])
        if event.type == types.BUTTON_DOWN:
            self.pressed = at
        elif event.type == types.BUTTON_UP and np.abs(at - self.pressed).max() < CLICK:
            self.pick(event.x - self.view.frame.x, event.y - self.view.frame.y)
        return self.gui.Widget.EventCallbackResult.IGNORED

    def pick(self, x: float, y: float) -> None:
        """Describe the visible point at a pixel of the view, and show its attention if the head has some."""
        camera, frame = self.view.scene.camera, self.view.frame
        eye = np.asarray(camera.get_model_matrix())[:3, 3]
        ahead = np.asarray(camera.unproject(x, y, 0.5, frame.width, frame.height)).ravel()
        found = point_on_ray(self.subject.pos[self.rows], eye, ahead - eye)
        if found is None:
            return
        point = found if isinstance(self.rows, slice) else int(self.rows[found])
        lines = [f"{heading}: {text}" for heading, text in describe(self.subject, point)]
        self.report(Text("\n".join(lines)))
        self.text.text = "\n".join(map(wrapped, lines))
        if self.subject.maps is not None and self.subject.maps.attend is not None:
            self.layers, _ = browse_layers(self.subject, replace(self.coloring, point=point))
            for number, layer in enumerate(self.layers):
                if layer.by == "attention":
                    for ceiling in (True, False):
                        self.view.scene.remove_geometry(f"{number} {ceiling}")
            self.show(self.shown)
        self.window.set_needs_layout()

    def _layout(self, context: Any) -> None:
        box, width = self.window.content_rect, round(PANEL * self.window.scaling)
        self.view.frame = self.gui.Rect(box.x, box.y, box.width - width, box.height)
        self.panel.frame = self.gui.Rect(box.get_right() - width, box.y, width, box.height)


def wrapped(text: str) -> str:
    """Return a text in lines that fit into the panel."""
    return "\n  ".join(wrap(text, 30))


def name_of(layer: Layer) -> str:
    return layer.by if layer.title in TITLES.values() else layer.title


def legend_picture(layer: Layer) -> np.ndarray:
    """Draw the legend and the scale of a layer, ``(H, W, 3)`` uint8."""
    height = ROW * len(layer.legend) + (MAX_SCALE + MARGIN if layer.scale else 0) + 24
    page = Page((PANEL - 24, height))
    page.draw_legends([layer], (8, 8), unit=1)
    return np.asarray(page.image)
