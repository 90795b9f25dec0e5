"""The browser view: answers to clicks, points that are drawn, and a real browser."""

import numpy as np
import pytest
from helpers.browsers import browse, free_port, needs_chromium, wait_for_screenshot
from helpers.view_rooms import EXPLAINED as ROOM
from helpers.view_rooms import explained_room, share_of

from pcseg.errors import UserError
from pcseg.views.interactive.browser import BrowserView
from pcseg.views.interactive.page import legend_html
from pcseg.views.layers.coloring import Coloring
from pcseg.views.layers.head_layers import attention_layers, browse_layers

pytest.importorskip("viser")

LAYERS = {layer.title: layer for layer in browse_layers(ROOM, Coloring(by="rgb"))[0]}
EYE = np.float32([3, 2, 1.4])


def test_clicks_are_answered() -> None:
    view = BrowserView(ROOM, Coloring(by="prediction"), port=free_port())
    try:
        assert list(view._mode.options) == list(LAYERS)
        assert view._mode.value == "prediction"
        view._mode.value = "attention after 1 recurrence"  # as the list on the page does
        assert view.click(tuple(EYE), (1.5, 2, 0)) == view.picked is not None
        assert ROOM.pos[view.picked][1] == pytest.approx(4)
        assert "**probabilities**" in view._answer.content
        assert "**affinity**" in view._answer.content
        # attention is that of the clicked point, in numbers and in colors
        attention = attention_layers(ROOM.maps, view.picked)
        for layer in attention:
            assert f"**{layer.title}** {layer.note}" in view._answer.content
        np.testing.assert_array_equal(view._cloud.colors, attention[0].color[view.drawn])
        assert (attention[0].color != LAYERS[attention[0].title].color).any()
        view._mode.value = "error"
        np.testing.assert_array_equal(view._cloud.colors, LAYERS["error"].color[view.drawn])
        assert "wrong" in view._legend.content
        ceiling = int(np.flatnonzero(ROOM.pos[:, 2] > 2.79)[5])
        assert view.click(tuple(EYE), tuple(ROOM.pos[ceiling] - EYE)) == ceiling
        assert view.click(tuple(EYE), (1, -1, 0)) is None
    finally:
        view.stop()


def test_fewer_points_are_drawn_and_all_can_be_picked() -> None:
    view = BrowserView(ROOM, Coloring(by="label"), port=free_port(), max_points=500)
    try:
        drawn = view._cloud.points
        assert 350 < len(drawn) == len(view.drawn) <= 500
        np.testing.assert_array_equal(drawn, ROOM.pos[view.drawn])
        for title, layer in LAYERS.items():
            view._mode.value = title
            np.testing.assert_array_equal(view._cloud.colors, layer.color[view.drawn], err_msg=title)
        hidden = np.setdiff1d(np.flatnonzero(ROOM.pos[:, 2] == 0), view.drawn)[:20]
        assert [view.click(tuple(EYE), tuple(ROOM.pos[row] - EYE)) for row in hidden] == hidden.tolist()
    finally:
        view.stop()


def test_wrong_options() -> None:
    with pytest.raises(UserError, match="--max_points 0: must be at least 1"):
        BrowserView(ROOM, Coloring(by="label"), port=free_port(), max_points=0)
    with pytest.raises(UserError, match="nothing to color by context"):
        BrowserView(ROOM, Coloring(by="context"), port=free_port())


@pytest.mark.slow
@needs_chromium
def test_a_click_in_a_browser() -> None:
    room = explained_room(40_000)
    view = BrowserView(room, Coloring(by="label"), port=free_port(), max_points=8000)
    try:
        with browse(f"http://127.0.0.1:{view.port}", size=(900, 500)) as page:
            page.wait_for_selector("text=Click a point")
            before = wait_for_screenshot(page, lambda image: share_of(image, (255, 255, 255)) < 0.6)
            page.mouse.click(250, 260)
            page.wait_for_selector("text=true label")
            assert view.picked is not None
            x, y, z = room.pos[view.picked]
            text = page.inner_text("body")
            assert f"{x:.2f}, {y:.2f}, {z:.2f} m" in text
            assert "affinity" in text
            # the ball appears at the clicked pixel
            near = np.s_[257:264, 247:254]
            wait_for_screenshot(page, lambda image: abs(image - before)[near].max(axis=-1).mean() > 20)
    finally:
        view.stop()


def test_legends() -> None:
    assert "linear-gradient" in legend_html(LAYERS["confidence"])
    assert "floor" in legend_html(LAYERS["true label"])
