"""Images and labels of every depth and mode, against the values that were written."""

import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pcseg.data.images import files
from pcseg.data.images.files import gray_to_bytes, read_colors, read_indices
from pcseg.data.images.reader import Picture, read_names
from pcseg.data.images.readers import IMAGE_READERS
from pcseg.errors import UserError
from pcseg.files import read_lines

RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)
BYTES = np.rint(255 * RAMP).astype(np.uint8)


def write_png(path: Path, values: np.ndarray, *, depth: int, kind: int) -> Path:
    """Write a PNG file byte by byte: ``kind`` 0 is gray, 2 RGB, 4 gray with alpha, 6 RGBA."""
    channels = values.reshape(*values.shape[:2], -1)
    height, width = channels.shape[:2]
    bits = (channels[..., None].astype(np.uint32) >> np.arange(depth - 1, -1, -1)) & 1
    rows = np.packbits(bits.astype(np.uint8).reshape(height, -1), axis=1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def test_pictures_of_16_bits_keep_their_brightness(tmp_path: Path) -> None:
    deep = np.rint(65535 * RAMP).astype(np.uint16)
    rgb = np.stack([deep, deep[::-1], deep[:, ::-1]], axis=2)
    expected = np.stack([BYTES, BYTES[::-1], BYTES[:, ::-1]], axis=2).astype(int)
    gray = np.repeat(BYTES[:, :, None], 3, axis=2).astype(int)
    for kind, values, true in ((0, deep, gray), (2, rgb, expected)):
        path = write_png(tmp_path / f"{kind}.png", values, depth=16, kind=kind)
        assert np.abs(read_colors(path).astype(int) - true).max() <= 1
    opaque = np.full_like(deep, 65535)
    path = write_png(tmp_path / "rgba.png", np.dstack([rgb, opaque]), depth=16, kind=6)
    assert np.abs(read_colors(path).astype(int) - expected).max() <= 1
    path = write_png(tmp_path / "la.png", np.dstack([deep, opaque]), depth=16, kind=4)
    assert np.abs(read_colors(path).astype(int) - gray).max() <= 1
    for suffix in ("png", "tif", "jp2"):
        Image.fromarray(deep).save(tmp_path / f"gray.{suffix}")
        assert np.abs(read_colors(tmp_path / f"gray.{suffix}").astype(int) - gray).max() <= 1, suffix


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RAMP, BYTES),
        (RAMP * 255, BYTES),
        (np.rint(RAMP * 65535), BYTES),
        (RAMP * 20, BYTES),  # a high dynamic range
        (RAMP * 1e5 + 0.1, BYTES),
        (RAMP * 2 - 1, BYTES),
        (np.rint(RAMP * 3), np.rint(RAMP * 3)),  # a dark picture of integers
        (
            np.where(RAMP > 0.9999, 40, RAMP * 0.999),
            np.where(RAMP > 0.9999, 255, np.rint(254.7 * RAMP)),
        ),  # highlights
    ],
)
def test_floats_are_scaled_by_what_they_span(
    values: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "a.tif")
    found = read_colors(tmp_path / "a.tif")
    assert np.abs(found.astype(int) - expected[:, :, None].astype(int)).max() <= 1


def test_invalid_floats_are_black(tmp_path: Path) -> None:
    values = RAMP.copy()
    values[3, 4:7] = (np.nan, np.inf, -np.inf)
    found = gray_to_bytes(values)
    assert found[3, 4:7].tolist() == [0, 255, 0]
    assert np.abs(np.delete(found, 3, axis=0).astype(int) - np.delete(BYTES, 3, axis=0)).max() <= 1
    assert gray_to_bytes(np.zeros((2, 2), np.int32)).max() == 0


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "YCbCr", "PA"])
def test_other_modes_show_the_same_colors(mode: str, tmp_path: Path) -> None:
    colors = np.zeros((4, 6, 3), np.uint8)
    colors[:, 3:] = 255
    image = Image.fromarray(colors).convert("P" if mode == "PA" else mode)
    if mode in ("P", "PA"):
        image.info["transparency"] = bytes([255] * 100 + [0] * 156)  # Pillow warns about it
    suffix = "tif" if mode in ("CMYK", "YCbCr") else "png"
    image.save(tmp_path / f"a.{suffix}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(read_colors(tmp_path / f"a.{suffix}"), colors)


def test_the_first_page_is_read_and_labels_of_several_are_refused(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (5, 4), color) for color in ("red", "blue")]
    for suffix in ("tif", "gif", "webp", "png"):
        path = tmp_path / f"a.{suffix}"
        pages[0].save(
            path, save_all=True, append_images=pages[1:], **({"lossless": True} if suffix == "webp" else {})
        )
        assert read_colors(path)[0, 0].tolist() == [255, 0, 0]
    labels = [Image.new("L", (5, 4), k) for k in range(3)]
    labels[0].save(tmp_path / "labels.tif", save_all=True, append_images=labels[1:])
    with pytest.raises(UserError, match=r"labels\.tif: holds 3 pages instead of one"):
        read_indices(tmp_path / "labels.tif")


def test_rotated_photos(tmp_path: Path) -> None:
    colors = np.zeros((20, 40, 3), np.uint8)
    colors[:, :20] = 255  # the left half is white
    exif = Image.Exif()
    exif[274] = 6  # shown turned by 90 degrees clockwise
    Image.fromarray(colors).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_colors(tmp_path / "a.png"), colors)
    upright = read_colors(tmp_path / "a.png", upright=True)
    assert upright.shape == (40, 20, 3)
    assert upright[0].min() == 255
    assert upright[-1].max() == 0
    # labels that were drawn on the upright photo
    Image.fromarray(np.ones((40, 20), np.uint8)).save(tmp_path / "label.png")
    picture = Picture(name="a", split="s", group="a", image=tmp_path / "a.png", label=tmp_path / "label.png")
    reader = IMAGE_READERS["ade20k"](tmp_path)
    image, label = reader.read(picture)
    assert np.array_equal(image, upright)
    assert label.shape == (40, 20)


def test_labels_are_exact_at_every_depth(tmp_path: Path) -> None:
    for depth in (1, 2, 4, 8, 16):
        values = np.random.default_rng(depth).integers(0, 1 << depth, (7, 9))
        path = write_png(tmp_path / "a.png", values, depth=depth, kind=0)
        assert np.array_equal(read_indices(path), values), depth
    for dtype in (np.uint8, np.uint16, np.int32, np.float32):
        values = np.random.default_rng(1).integers(0, 200, (7, 9)) * (300 if dtype != np.uint8 else 1)
        Image.fromarray(values.astype(dtype)).save(tmp_path / "a.tif")
        assert np.array_equal(read_indices(tmp_path / "a.tif"), values), dtype
    Image.fromarray((RAMP / 2).astype(np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(UserError, match="holds fractions instead of one label per pixel"):
        read_indices(tmp_path / "f.tif")
    for mode in ("RGB", "RGBA", "CMYK", "LA"):
        Image.new(mode, (4, 4)).save(tmp_path / "c.tif")
        with pytest.raises(UserError, match=rf"holds colors \({mode}\).* convert colors to the numbers"):
            read_indices(tmp_path / "c.tif")


def test_large_pictures_are_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # 64 x 64 is now more than twice of Pillow's limit
    Image.fromarray(BYTES).save(tmp_path / "a.png")
    assert np.array_equal(read_colors(tmp_path / "a.png")[:, :, 0], BYTES)
    assert np.array_equal(read_indices(tmp_path / "a.png"), BYTES)
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr(files, "MOST_PIXELS", 4095)
    with pytest.raises(UserError, match=r"a\.png: has 64 x 64 pixels, the limit is 4,095\. Cut or resize it"):
        read_colors(tmp_path / "a.png")
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.slow
def test_a_panorama_beyond_the_limit_of_pillow(tmp_path: Path) -> None:
    Image.new("L", (20000, 9500), 7).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_colors(tmp_path / "a.png").shape == (9500, 20000, 3)


def test_damaged_and_foreign_files_are_one_line(tmp_path: Path) -> None:
    Image.fromarray(BYTES).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    rng = np.random.default_rng(0)
    for number in range(60):
        bad = bytearray(data[: rng.integers(len(data))] if number % 2 else data)
        for place in rng.integers(0, len(bad), 4) if bad else ():
            bad[place] = rng.integers(256)
        (tmp_path / "a.png").write_bytes(bytes(bad))
        for read in (read_colors, read_indices):
            with suppress(UserError):  # anything else would be a traceback
                read(tmp_path / "a.png")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lists_in_any_encoding(encoding: str, ending: str, tmp_path: Path) -> None:
    lines = ["# rooms", "B\u00fcro_1  ", "", "room_2\tx", "  room_3 /labels/room_3.png", "   "]
    (tmp_path / "list.txt").write_bytes((ending.join(lines) + ending).encode(encoding))
    assert read_names(tmp_path / "list.txt") == ["B\u00fcro_1", "room_2", "room_3"]
    (tmp_path / "list.txt").write_bytes(b"")
    assert read_lines(tmp_path / "list.txt") == []
