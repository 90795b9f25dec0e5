"""The page without a network and the browser view: what they hold, and what a real browser shows after a click."""

import base64
import json
import re
import socket
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.headless import Page, browse, find_browser
from helpers.view_heads import explained_room
from scipy.spatial import cKDTree

from pcseg.errors import UserError
from pcseg.labels import S3DIS, LabelSchema
from pcseg.views.interactive.browser import BrowserView, legend_html
from pcseg.views.interactive.html import write_page
from pcseg.views.interactive.html_viewer import PAGE
from pcseg.views.layers.coloring import class_layer
from pcseg.views.layers.head_layers import all_layers, attention_layers, nearest_point
from pcseg.views.subject import Subject

ROOM = explained_room()
LAYERS = all_layers(ROOM)
TITLES = [layer.title for layer in LAYERS]

needs_chromium = pytest.mark.skipif(find_browser() is None, reason="no Chromium to look at pages with")


def read_page(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What a page was told, and its arrays of bytes."""
    text = path.read_text()
    meta = re.search(r'id="meta">(.*?)</script>', text, re.DOTALL)
    blobs = re.findall(r'id="b\d+">([^<]*)</script>', text)
    assert meta is not None
    return json.loads(meta[1]), [np.frombuffer(zlib.decompress(base64.b64decode(b)), np.uint8) for b in blobs]


def test_page_holds_points_and_colours(tmp_path: Path) -> None:
    path = tmp_path / "pages" / "room.html"
    assert write_page(path, ROOM, LAYERS, first=2, mark=7) == len(ROOM)
    assert [file.name for file in path.parent.iterdir()] == ["room.html"]
    meta, blobs = read_page(path)
    steps = blobs[0].reshape(3, 2, -1).astype(np.int64)
    grid = np.cumsum(steps[:, 0] + 256 * steps[:, 1], axis=1) % 65536
    pos = np.array(meta["low"]) + grid.T * np.array(meta["step"])
    # the points have another order there: find each of ours
    _, order = cKDTree(pos).query(ROOM.pos[:50])
    np.testing.assert_allclose(pos[order], ROOM.pos[:50], atol=1e-4)
    for entry, layer in zip(meta["layers"], LAYERS):
        if "rgb" in entry:
            color = blobs[entry["rgb"]].reshape(3, -1).T
        else:
            index = blobs[entry["index"]]
            if entry["site"] is not None:
                site = blobs[entry["site"]].reshape(4, -1).astype(np.int64)
                index = index[(site << np.array([[0], [8], [16], [24]])).sum(axis=0)]
            color = np.array(entry["table"]).reshape(-1, 3)[index]
        np.testing.assert_array_equal(color[order], layer.color[:50], err_msg=entry["title"])


def test_page_asks_no_network_and_large_clouds_are_thinned(tmp_path: Path) -> None:
    assert not re.search(r"https?://|\bsrc\s*=|@import|fetch\(", PAGE.replace("{src: meta.charts}", ""))
    path = tmp_path / "room.html"
    assert write_page(path, ROOM, LAYERS, most=500) == 500
    meta, _ = read_page(path)
    assert (meta["count"], meta["total"]) == (500, len(ROOM))


@needs_chromium
def test_page_in_a_browser(tmp_path: Path) -> None:
    pytest.importorskip("websockets", reason="viser brings it")
    path = tmp_path / "room.html"
    looking = nearest_point(ROOM, (4.5, 3, 0))
    write_page(path, ROOM, LAYERS, first=TITLES.index("true label"), mark=looking)
    with browse(path.as_uri(), tmp_path / "profile", size=(900, 500)) as page:
        page.wait("document.body && document.body.dataset.ready === 'yes'")
        page.wait(DRAWN)
        shown = page.picture()
        room = shown[:, :580]
        assert share_of(room, S3DIS.colors[S3DIS.names.index("floor")]) > 0.02
        assert share_of(room, S3DIS.colors[S3DIS.names.index("wall")]) > 0.02
        # the ceiling is cut off at first
        assert share_of(room, S3DIS.colors[S3DIS.names.index("ceiling")]) == 0
        y, x = middle_of(room, S3DIS.colors[S3DIS.names.index("floor")])
        assert not rings(page)
        page.click(x, y)
        assert "true label floor" in page.evaluate("document.getElementById('picked').innerText")
        page.wait(DRAWN)
        assert list(rings(page)) == ["clicked"]
        np.testing.assert_allclose(rings(page)["clicked"], (x, y), atol=6)
        # colours of attention stay those of the point that looks, wherever one clicks
        page.evaluate(
            f"by('mode').selectedIndex = {TITLES.index('seen after 2 recurrences')}; by('mode').onchange()"
        )
        page.wait(DRAWN)
        before = rings(page)
        place = "const [x, y] = project(sight(), ...meta.mark); [300 * (1 + x), 250 * (1 - y)]"
        np.testing.assert_allclose(before["looks"], page.evaluate(place), atol=1)
        y, x = middle_of(room, S3DIS.colors[S3DIS.names.index("wall")])
        page.click(x, y)
        page.wait(DRAWN)
        assert rings(page)["looks"] == before["looks"]
        np.testing.assert_allclose(rings(page)["clicked"], (x, y), atol=6)
        number = TITLES.index("error")
        page.evaluate(f"by('mode').selectedIndex = {number}; by('mode').onchange()")
        page.wait(DRAWN)
        assert share_of(page.picture()[:, :580], (213, 30, 40)) > 0.02
        assert page.evaluate("document.getElementById('legend').innerText").startswith("right")


def many_classes(number: int = 200) -> Subject:
    """A point of each class in a row; all classes have one colour."""
    names = tuple(f"kind {i}" for i in range(number))
    label = np.arange(number, dtype=np.int16)
    pos = np.stack([label, 0 * label, 0 * label], axis=1).astype(np.float32)
    schema = LabelSchema(name="many", names=names, colors=((9, 9, 9),) * number)
    return Subject(name="many", pos=pos, label=label, schema=schema)


def write_many_classes(path: Path) -> None:
    subject = many_classes()
    layer = class_layer(subject.label, "label", "true label", schema=subject.schema, palette="canonical")
    write_page(path, subject, [layer])


def test_page_knows_classes_by_number(tmp_path: Path) -> None:
    write_many_classes(tmp_path / "many.html")
    meta, blobs = read_page(tmp_path / "many.html")
    (entry,) = meta["layers"]
    steps = blobs[0].reshape(3, 2, -1).astype(np.int64)
    x = np.cumsum(steps[0, 0] + 256 * steps[0, 1]) % 65536 * meta["step"][0]
    named = [entry["names"][place] for place in blobs[entry["index"]]]
    assert named == [f"kind {round(place)}" for place in x]
    assert entry["names"][200] == "no class"


@needs_chromium
def test_page_names_what_is_clicked_among_many_classes(tmp_path: Path) -> None:
    pytest.importorskip("websockets", reason="viser brings it")
    write_many_classes(tmp_path / "many.html")
    with browse((tmp_path / "many.html").as_uri(), tmp_path / "profile") as page:
        page.wait("document.body && document.body.dataset.ready === 'yes'")
        said = page.evaluate(
            "Array.from({length: count}, (_, i) => "
            "[said(meta.layers[0], i), 'kind ' + Math.round(meta.low[0] + meta.step[0] * grid[4 * i])])"
        )
    assert len(said) == 200
    assert all(found == expected for found, expected in said)


def test_browser_view_answers() -> None:
    pytest.importorskip("viser")
    view = BrowserView(ROOM, "prediction", port=free_port())
    try:
        assert view.titles == TITLES
        view.show("seen after 1 recurrence")
        assert view.shown == "seen after 1 recurrence"
        assert view.click((3, 2, 1.4), (1.5, 2, 0)) == view.picked is not None
        assert ROOM.pos[view.picked][1] == pytest.approx(4)
        assert "**probabilities**" in view._answer.content
        assert "**affinity**" in view._answer.content
        # what is seen is that of the point that was clicked, in numbers and in colours
        seen = attention_layers(ROOM.maps, view.picked)
        for layer in seen:
            assert f"**{layer.title}** {layer.note}" in view._answer.content
        np.testing.assert_array_equal(view._cloud.colors, seen[0].color[view.drawn])
        assert (seen[0].color != LAYERS[TITLES.index(seen[0].title)].color).any()
        view._mode.value = "error"  # as the list on the page does
        np.testing.assert_array_equal(view._cloud.colors, LAYERS[TITLES.index("error")].color[view.drawn])
        assert "wrong" in view._legend.content
        ceiling = int(np.flatnonzero(ROOM.pos[:, 2] > 2.79)[5])
        assert view.click((3, 2, 1.4), tuple(ROOM.pos[ceiling] - np.float32([3, 2, 1.4]))) == ceiling
    finally:
        view.stop()
    with pytest.raises(UserError, match="nothing to colour by context"):
        BrowserView(ROOM, "context", port=free_port())


def test_browser_view_draws_fewer_points_and_answers_for_all() -> None:
    pytest.importorskip("viser")
    view = BrowserView(ROOM, "label", port=free_port(), max_points=500)
    try:
        drawn = view._cloud.points
        assert 350 < len(drawn) == len(view.drawn) <= 500
        np.testing.assert_array_equal(drawn, ROOM.pos[view.drawn])
        for layer in LAYERS:
            view.show(layer.title)
            np.testing.assert_array_equal(view._cloud.colors, layer.color[view.drawn], err_msg=layer.title)
        hidden = np.setdiff1d(np.flatnonzero(ROOM.pos[:, 2] == 0), view.drawn)[:20]
        eye = np.float32([3, 2, 1.4])
        assert [view.click(tuple(eye), tuple(ROOM.pos[row] - eye)) for row in hidden] == hidden.tolist()
    finally:
        view.stop()
    with pytest.raises(UserError, match="shows nothing"):
        BrowserView(ROOM, "label", port=free_port(), max_points=0)


@needs_chromium
def test_browser_view_in_a_browser(tmp_path: Path) -> None:
    pytest.importorskip("viser")
    room = explained_room(40_000)
    view = BrowserView(room, "label", port=free_port(), max_points=8000)
    try:
        with browse(f"http://127.0.0.1:{view.port}", tmp_path / "profile", size=(900, 500)) as page:
            page.wait(
                "document.querySelectorAll('canvas').length > 0 && document.body.innerText.includes('Click')"
            )
            # until the points have come, and lie closely enough to hide what is behind them
            before = page.wait_for_picture(lambda image: share_of(image, (255, 255, 255)) < 0.6)
            page.click(250, 260)
            page.wait("document.body.innerText.includes('true label')")
            assert view.picked is not None
            x, y, z = room.pos[view.picked]
            text = page.evaluate("document.body.innerText")
            assert f"{x:.2f}, {y:.2f}, {z:.2f} m" in text
            assert "affinity" in text
            # the ball lies where the click was
            page.wait_for_picture(
                lambda image: abs(image - before)[257:264, 247:254].max(axis=-1).mean() > 20
            )
    finally:
        view.stop()


def test_legends_of_the_browser() -> None:
    by_title = {layer.title: layer for layer in LAYERS}
    assert "linear-gradient" in legend_html(by_title["confidence"])
    assert "floor" in legend_html(by_title["true label"])


DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


def rings(page: Page) -> dict[str, list[float]]:
    """Middles in pixels of the rings that a page of 900 x 500 shows."""
    found = page.evaluate(
        "['looks', 'clicked'].map(by).filter(mark => mark && !mark.style.display)"
        ".map(mark => [mark.id, 6 * parseFloat(mark.style.left), 5 * parseFloat(mark.style.top)])"
    )
    return {name: place for name, *place in found}


def share_of(image: np.ndarray, color: tuple[int, int, int]) -> float:
    return float((abs(image.astype(int) - color) <= 2).all(axis=-1).mean())


def middle_of(image: np.ndarray, color: tuple[int, int, int]) -> tuple[int, int]:
    """Row and column of a pixel of a colour whose neighbours have it too, near the middle of them all."""
    same = (abs(image.astype(int) - color) <= 2).all(axis=-1)
    inner = same.copy()
    for axis in (0, 1):
        for step in (-2, -1, 1, 2):
            inner &= np.roll(same, step, axis)
    places = np.argwhere(inner)
    best = places[np.square(places - places.mean(axis=0)).sum(axis=1).argmin()]
    return int(best[0]), int(best[1])


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]
