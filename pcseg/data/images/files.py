"""Read image and label files of any Pillow mode."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pcseg.data.worker_errors import note_file
from pcseg.errors import UserError, reason

MOST_PIXELS = 1 << 30
"""Largest image that is read; its colors take 3 GiB."""

INDEX_MODES = ("L", "P", "1", "I", "F")
"""Pillow modes with one number per pixel, besides those of 16 bits; of a palette image (P) the indices are read."""

FEW_BITS = {"L;2": 85, "L;4": 17}
"""Factor by which Pillow scales gray values of 2 and 4 bits to 0..255."""


def read_colors(path: Path, *, upright: bool = False) -> np.ndarray:
    """Read an image of any mode as ``(H, W, 3)`` uint8; of several pages the first one.

    Raises:
        UserError: A missing, damaged or unknown file, or more than :data:`MOST_PIXELS` pixels.

    Convention:
        Pixels keep their position in the file, as do the labels of data sets. ``upright`` applies the rotation
        of the EXIF entry of a photo. Transparency is dropped. Gray values of 16 bits and of floats are scaled
        (:func:`gray_to_bytes`).
    """
    with _opened(path) as (image, _):
        image = ImageOps.exif_transpose(image) if upright else image
        if image.mode[0] in "IF":
            gray = gray_to_bytes(np.asarray(image))
            return np.repeat(gray[:, :, None], 3, axis=2)
        if "transparency" in image.info:  # Pillow warns about it in palettes
            image = image.convert("RGBA")
        return np.asarray(image.convert("RGB"))


def read_indices(path: Path) -> np.ndarray:
    """Read the numbers ``(H, W)`` of a label file as int32; of a palette image, its indices.

    Raises:
        UserError: As :func:`read_colors`; or the file holds colors, fractions or several pages.
    """
    with _opened(path) as (image, raw_mode):
        if image.mode not in INDEX_MODES and not image.mode.startswith("I;16"):
            raise UserError(
                f"{path}: holds colors ({image.mode}) instead of one label per pixel. Use the original file if its "
                "palette was converted to colors, or convert colors to the numbers of the classes."
            )
        pages = getattr(image, "n_frames", 1)
        if pages > 1:
            raise UserError(f"{path}: holds {pages} pages instead of one. Save the page of the labels alone.")
        values = np.asarray(image)
        if values.dtype.kind == "f" and not (values == np.rint(values)).all():
            raise UserError(f"{path}: holds fractions instead of one label per pixel. Use the original file.")
        return values.astype(np.int32) // FEW_BITS.get(raw_mode, 1)


def gray_to_bytes(values: np.ndarray) -> np.ndarray:
    """Scale gray values of 16 bits, integers or floats to uint8.

    Convention:
        Values of 16 bits span 0..65535. The scale of other values follows from the brightest 0.1 %: up to 1 they are
        fractions; integers span 0..255 or 0..65535; floats of which some exceed 32 span 0..255. Anything else, such as
        a high dynamic range, is scaled by that brightness. If some are negative and none exceeds 1, they span -1..1.
    """
    if values.dtype.kind == "u":
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    sample = values.ravel()[:: max(1, values.size // 1_000_000)]
    sample = sample[np.isfinite(sample)]
    dark, bright = np.percentile(sample, (0.1, 99.9)).tolist() if len(sample) else (0, 0)
    values = np.nan_to_num(values.astype(np.float32), posinf=1e9, neginf=0)
    whole = bool((sample == np.rint(sample)).all())
    if dark < 0 and bright <= 1:
        values, scale = values + 1, 127.5
    elif bright <= 1:
        scale = 255.0
    elif bright <= 255 and (whole or bright > 32):
        scale = 1.0
    else:
        scale = 255 / (65535 if whole and bright <= 65535 else bright)
    with np.errstate(over="ignore"):
        return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Image.Image, str]]:
    """Yield an image with its pixels, and how the file stores them; a damaged file is a :class:`UserError`."""
    if not path.is_file():
        raise UserError(f"{path}: no such file. Check data.root and unpack the data set completely.")
    most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # the limit here is larger
    try:
        note_file(path)
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                size = f"{image.width} x {image.height} pixels"
                raise UserError(f"{path}: has {size}, the limit is {MOST_PIXELS:,}. Cut or resize it.")
            tile = image.tile[0].args if image.tile else ""
            image.load()
            yield image, str(tile[0] if isinstance(tile, tuple) else tile)
    except MemoryError as error:
        raise UserError(f"{path}: too large for the memory. Cut or resize it.") from error
    except (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, zlib.error) as error:
        raise UserError(
            f"{path}: not a readable image ({reason(error)}). Unpack it again, or save it as PNG."
        ) from error
    finally:
        Image.MAX_IMAGE_PIXELS = most
