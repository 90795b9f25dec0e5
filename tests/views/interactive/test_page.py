"""The HTML page: the points and colors that it contains, and what a browser shows after a click."""

import base64
import json
import re
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.browsers import browse, center_of, needs_chromium, screenshot
from helpers.view_rooms import EXPLAINED as ROOM
from helpers.view_rooms import share_of
from playwright.sync_api import Page
from scipy.spatial import cKDTree

from pcseg.labels import S3DIS, LabelSchema
from pcseg.views.interactive.page import write_page
from pcseg.views.layers.coloring import Coloring, make_layer
from pcseg.views.layers.head_layers import browse_layers, nearest_point
from pcseg.views.subject import Subject

LAYERS, _ = browse_layers(ROOM, Coloring(by="rgb"))
TITLES = [layer.title for layer in LAYERS]
FLOOR, WALL, CEILING = (S3DIS.colors[S3DIS.names.index(name)] for name in ("floor", "wall", "ceiling"))
READY = "document.body && document.body.dataset.ready === 'yes'"
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


def read_page(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return the description in a page, and its arrays of bytes."""
    text = path.read_text()
    meta = re.search(r'id="meta">(.*?)</script>', text, re.DOTALL)
    blobs = re.findall(r'id="b\d+">([^<]*)</script>', text)
    assert meta is not None
    return json.loads(meta[1]), [np.frombuffer(zlib.decompress(base64.b64decode(b)), np.uint8) for b in blobs]


def positions(meta: dict[str, Any], blob: np.ndarray) -> np.ndarray:
    steps = blob.reshape(3, 2, -1).astype(np.int64)
    grid = np.cumsum(steps[:, 0] + 256 * steps[:, 1], axis=1) % 65536
    return np.array(meta["low"]) + grid.T * np.array(meta["step"])


def test_page_contains_points_and_colors(tmp_path: Path) -> None:
    path = tmp_path / "pages" / "room.html"
    assert write_page(path, ROOM, LAYERS, first=2, mark=7) == len(ROOM)
    assert [file.name for file in path.parent.iterdir()] == ["room.html"]
    meta, blobs = read_page(path)
    pos = positions(meta, blobs[0])
    _, order = cKDTree(pos).query(ROOM.pos[:50])  # the page has another order
    np.testing.assert_allclose(pos[order], ROOM.pos[:50], atol=1e-4)
    for entry, layer in zip(meta["layers"], LAYERS):
        if "rgb" in entry:
            color = blobs[entry["rgb"]].reshape(3, -1).T
        else:
            index = blobs[entry["index"]]
            if entry["token"] is not None:
                token = blobs[entry["token"]].reshape(4, -1).astype(np.int64)
                index = index[(token << np.array([[0], [8], [16], [24]])).sum(axis=0)]
            color = np.array(entry["table"]).reshape(-1, 3)[index]
        np.testing.assert_array_equal(color[order], layer.color[:50], err_msg=entry["title"])


def test_page_needs_no_network() -> None:
    folder = resources.files("pcseg.views.interactive")
    text = folder.joinpath("viewer.html").read_text() + folder.joinpath("viewer.js").read_text()
    assert not re.search(r"https?://|\bsrc\s*=|@import|fetch\(", text)


def test_large_clouds_are_subsampled(tmp_path: Path) -> None:
    assert write_page(tmp_path / "room.html", ROOM, LAYERS, max_points=500) == 500
    meta, _ = read_page(tmp_path / "room.html")
    assert (meta["count"], meta["total"]) == (500, len(ROOM))


def test_names_cannot_end_the_script(tmp_path: Path) -> None:
    subject = Subject(name="</script>@DATA@", pos=ROOM.pos)
    write_page(tmp_path / "room.html", subject, [make_layer(subject, "height")])
    assert read_page(tmp_path / "room.html")[0]["name"] == "</script>@DATA@"


@pytest.mark.slow
@needs_chromium
def test_page_in_a_browser(tmp_path: Path) -> None:
    path = tmp_path / "room.html"
    attending = nearest_point(ROOM, (4.5, 3, 0))
    write_page(path, ROOM, LAYERS, first=TITLES.index("true label"), mark=attending)
    with browse(path.as_uri(), size=(900, 500)) as page:
        page.wait_for_function(READY)
        page.evaluate(DRAWN)
        shown = screenshot(page)[:, :580]
        assert page.title() == "room"
        assert share_of(shown, FLOOR, tolerance=2) > 0.02
        assert share_of(shown, WALL, tolerance=2) > 0.02
        assert share_of(shown, CEILING, tolerance=2) == 0, "the ceiling is hidden at first"
        assert not rings(page)
        x, y = center_of(shown, FLOOR)
        page.mouse.click(x, y)
        picked = page.inner_text("#picked")
        assert "true label floor" in picked
        position = re.search(r"position (\S+), (\S+), (\S+) m", picked)
        assert position is not None
        point = nearest_point(ROOM, [float(value) for value in position.groups()])
        for layer in LAYERS:
            if layer.by == "slabs":
                assert f"{layer.title} {layer.names[layer.token[point]]}" in picked
        page.evaluate(DRAWN)
        assert list(rings(page)) == ["clicked"]
        np.testing.assert_allclose(rings(page)["clicked"], (x, y), atol=6)
        show(page, "error")
        assert share_of(screenshot(page)[:, :580], (213, 30, 40), tolerance=2) > 0.02
        assert page.inner_text("#legend").startswith("correct")


@pytest.mark.slow
@needs_chromium
def test_attention_stays_that_of_the_marked_point(tmp_path: Path) -> None:
    path = tmp_path / "room.html"
    write_page(path, ROOM, LAYERS, mark=nearest_point(ROOM, (4.5, 3, 0)))
    with browse(path.as_uri(), size=(900, 500)) as page:
        page.wait_for_function(READY)
        show(page, "true label")
        x, y = center_of(screenshot(page)[:, :580], WALL)
        show(page, "attention after 2 recurrences")
        before = rings(page)
        mark = page.evaluate(
            "(([x, y]) => [300 * (1 + x), 250 * (1 - y)])(project(cameraMatrix(), ...meta.mark))"
        )
        np.testing.assert_allclose(before["attending"], mark, atol=1)
        page.mouse.click(x, y)
        page.evaluate(DRAWN)
        assert rings(page)["attending"] == before["attending"]
        np.testing.assert_allclose(rings(page)["clicked"], (x, y), atol=6)


def many_classes(number: int = 200) -> Subject:
    """Return a row of points, one of each class; all classes have one color."""
    names = tuple(f"kind {i}" for i in range(number))
    label = np.arange(number, dtype=np.int16)
    pos = np.stack([label, 0 * label, 0 * label], axis=1).astype(np.float32)
    schema = LabelSchema(name="many", names=names, colors=((9, 9, 9),) * number)
    return Subject(name="many", pos=pos, label=label, schema=schema)


def test_classes_are_known_by_number(tmp_path: Path) -> None:
    subject = many_classes()
    write_page(tmp_path / "many.html", subject, [make_layer(subject, "label")])
    meta, blobs = read_page(tmp_path / "many.html")
    (entry,) = meta["layers"]
    named = [entry["names"][row] for row in blobs[entry["index"]]]
    assert named == [f"kind {round(x)}" for x in positions(meta, blobs[0])[:, 0]]
    assert entry["names"][200] == "no class"


@pytest.mark.slow
@needs_chromium
def test_the_clicked_class_is_named_among_many(tmp_path: Path) -> None:
    subject = many_classes()
    write_page(tmp_path / "many.html", subject, [make_layer(subject, "label")])
    with browse((tmp_path / "many.html").as_uri()) as page:
        page.wait_for_function(READY)
        texts = page.evaluate(
            "Array.from({length: count}, (_, i) => "
            "[valueText(meta.layers[0], i), 'kind ' + Math.round(meta.low[0] + meta.step[0] * grid[4 * i])])"
        )
    assert len(texts) == 200
    assert all(found == expected for found, expected in texts)


@pytest.mark.slow
@needs_chromium
def test_images_are_upright(tmp_path: Path) -> None:
    height, width = 30, 40
    y, x = np.divmod(np.arange(height * width), width)
    color = np.where(y[:, None] < 10, (200, 0, 0), (0, 0, 200)).astype(np.uint8)
    pos = np.stack([x, height - 1 - y, 0 * x], axis=1).astype(np.float32)
    subject = Subject(name="frame", pos=pos, color=color, pixels=(height, width))
    write_page(tmp_path / "frame.html", subject, [make_layer(subject, "rgb")])
    with browse((tmp_path / "frame.html").as_uri(), size=(900, 500)) as page:
        page.wait_for_function(READY)
        page.evaluate(DRAWN)
        column, row = center_of(screenshot(page)[:, :580], (200, 0, 0))
        assert row < center_of(screenshot(page)[:, :580], (0, 0, 200))[1]
        page.mouse.click(column, row)
        found = re.search(r"column (\d+), row (\d+)", page.inner_text("#picked"))
        assert found is not None
        np.testing.assert_allclose([int(found[1]), int(found[2])], [19.5, 4.5], atol=2)


def show(page: Page, title: str) -> None:
    """Choose a layer as a user does, and wait until it is drawn."""
    page.select_option("#mode", label=title)
    page.evaluate(DRAWN)


def rings(page: Page) -> dict[str, list[float]]:
    """Return the centers in pixels of the rings on a page of 900 x 500."""
    found = page.evaluate(
        "['attending', 'clicked'].map(element).filter(ring => ring && !ring.style.display)"
        ".map(ring => [ring.id, 6 * parseFloat(ring.style.left), 5 * parseFloat(ring.style.top)])"
    )
    return {name: center for name, *center in found}
