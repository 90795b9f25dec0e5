"""Pages: headings, legends and scales have room, whatever their length; formats of image files."""

from pathlib import Path

import numpy as np
import pytest
from helpers.view_rooms import ROOM, share_of
from PIL import Image

from pcseg.errors import UserError
from pcseg.views.layers.coloring import Layer, make_layer
from pcseg.views.render.pages import (
    MAX_SCALE,
    Page,
    Panel,
    compose,
    save_image,
)


def entries(number: int) -> list[tuple[str, tuple[int, int, int]]]:
    return [(f"class {i}", (i, 255 - i, 200)) for i in range(number)]


def page_of(layers: list[Layer], size: tuple[int, int] = (300, 720)) -> Image.Image:
    page = Page(size)
    page.draw_legends(layers, (14, 40), unit=1)
    return page.image


def words(page: Image.Image) -> list[str]:
    return page.info["Description"].splitlines()


@pytest.mark.parametrize("number", [5, 20, 200])
def test_long_legends_leave_room_for_the_scale(number: int) -> None:
    scale = make_layer(ROOM, "confidence")
    page = page_of([Layer(by="label", title="", legend=entries(number)), scale])
    pixels = np.asarray(page)
    assert (pixels[-8:] == 255).all()
    ends = [
        np.flatnonzero((abs(pixels[:, 25].astype(int) - scale.table[row]) < 3).all(axis=-1))
        for row in (0, 254)
    ]
    length = ends[0].max() - ends[1].min()
    assert length == pytest.approx(MAX_SCALE, abs=4) if number == 5 else length > 100
    shown = [f"class {i}" for i in range(number) if f"class {i}" in words(page)]
    assert len(shown) == (number if number < 20 else 17)
    if number > 17:
        assert f"and {number - 17} more" in words(page)
    swatches = [share_of(pixels[: ends[1].min()], color, tolerance=1) > 0 for _, color in entries(len(shown))]
    assert all(swatches)


def test_the_longest_of_several_legends_is_cut() -> None:
    page = page_of([Layer(by="label", title="", legend=entries(60)), make_layer(ROOM, "error")])
    assert "and" in " ".join(words(page))
    assert {text.split()[0] for text in words(page)} >= {"class", "and", "correct", "wrong"}


def test_titles_and_names_are_text() -> None:
    """Dollar signs do not start formulas, and entries that start with an underscore are not hidden."""
    legend = [("_private  3 %", (1, 2, 3)), ("a $b$ c", (4, 5, 6))]
    page = compose(
        "$x$_1",
        [[Panel("", Image.new("RGB", (200, 100)))]],
        [Layer(by="label", title="", legend=legend)],
        unit=1,
    )
    assert words(page) == ["$x$_1", "_private  3 %", "a $b$ c"]
    assert page.size == (200 + 6 + 240, 40 + 100 + 6)


def test_long_titles_become_smaller() -> None:
    page = Page((200, 40))
    page.write((0, 0), "attention after 3 recurrences: 94.2 % of the voxels", 16, room=120)
    columns = np.flatnonzero((np.asarray(page.image) < 200).any(axis=(0, 2)))
    assert 80 < columns.max() < 122


def test_panels_are_pasted_pixel_by_pixel() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, 50, 3), dtype=np.uint8)
    page = compose("title", [[Panel("a", Image.fromarray(noise))]], [], unit=0.5)
    np.testing.assert_array_equal(np.asarray(page)[20 + 13 : 20 + 13 + 30, :50], noise)


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.webp", "WEBP")])
def test_the_suffix_gives_the_format(tmp_path: Path, name: str, kind: str) -> None:
    image = page_of([make_layer(ROOM, "error")])
    save_image(image, tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with Image.open(tmp_path / name) as written:
        assert written.format == kind
        assert kind != "PNG" or written.info["Description"].startswith("correct")


def test_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.xyz: unknown image format"):
        save_image(Image.new("RGB", (3, 3)), tmp_path / "a.xyz")
    assert not list(tmp_path.iterdir())
