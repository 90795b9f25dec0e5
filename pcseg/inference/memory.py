"""Memory that the prediction of a file takes, and the choice between one piece and tiles."""

import os
import re
from dataclasses import replace
from pathlib import Path

from pcseg.data.io.clouds import CLOUD_READERS
from pcseg.data.io.parts import PartedFile, open_parts
from pcseg.data.io.text import read_text
from pcseg.errors import UserError
from pcseg.inference.tiles import TileOptions

GIB = 2**30

DEFAULT = 3 * GIB
"""Memory above which files are predicted in tiles unless ``--memory`` is given."""

PROCESS = 0.5 * GIB
"""Memory of the process without a scan."""

BYTES_PER_VOXEL = 2_500
"""Memory of a forward pass of the small networks."""

MARGIN = 2.0
"""Smallest margin of a tile in meters: with 1 m, 0.4 % of the labels of a small U-Net depend on where tiles are cut."""

BYTES_PER_ROW = 120
"""Memory of a row of a tile."""

BYTES_PER_SCORE = 600
"""Memory of a voxel of a tile with its scores of 44 classes and its weights in four windows."""

SMALLEST = GIB
"""Least memory of ``--memory``."""

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt])(i?)b", re.IGNORECASE)


def parse_memory(text: str) -> int:
    """Return the bytes of an amount such as ``4GiB``.

    Raises:
        UserError: Not an amount, or less than one GiB.
    """
    match = _AMOUNT.fullmatch(str(text).strip())
    if match is None:
        raise UserError(f"--memory {text}: not an amount of memory. Use a number and a unit, such as 4GiB.")
    amount = float(match[1]) * (1024 if match[3] else 1000) ** ("kmgt".index(match[2].lower()) + 1)
    if not SMALLEST <= amount < 2**60:
        raise UserError(f"--memory {text}: out of range. Use at least 1GiB.")
    return int(amount)


def physical_memory() -> int:
    """Return the memory of the machine in bytes; a large number if the system does not state it."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**60


def needed_memory(path: Path, file: PartedFile | None) -> float:
    """Return an estimate of the bytes that prediction takes in one piece; ``file`` if it can be read in parts."""
    suffix = path.suffix.lower()
    if file is not None:
        return PROCESS + file.count * (170 if suffix in (".las", ".laz") else 50)
    size = path.stat().st_size
    return PROCESS + size * (6 if CLOUD_READERS.get(suffix) is read_text else 3)


def choose_tiles(path: Path, memory: int | None, *, columns: str | None) -> bool:
    """Return whether a cloud is predicted in tiles to stay within ``memory`` bytes, by default :data:`DEFAULT`.

    Raises:
        UserError: The file is too large and its format cannot be read in parts.
    """
    if path.suffix.lower() not in CLOUD_READERS or not path.is_file():
        return False  # an error follows
    smallest = PROCESS + path.stat().st_size
    if smallest < (memory or DEFAULT) / 4 and path.suffix.lower() != ".laz":
        return False  # without opening it
    file = None
    try:
        file = open_parts(path, columns=columns)
    except UserError:
        if needed_memory(path, None) > (memory or physical_memory()):
            raise
    return file is not None and needed_memory(path, file) > (memory or DEFAULT)


def within_memory(options: TileOptions, memory: int) -> TileOptions:
    """Return options with tiles that fit into ``memory`` bytes: a forward pass takes half of it, rows the rest.

    The margin is at least :data:`MARGIN`. A tile is one forward pass, or as many windows as the rest of the memory
    holds the scores of.
    """
    free = memory - PROCESS
    most = min(options.points.most, int(free / 2 / BYTES_PER_VOXEL))
    points = replace(options.points, points_per_pass=most, margin=max(options.points.margin, MARGIN))
    voxels = max(most, int(free / 4 / BYTES_PER_SCORE)) if points.blend else most
    return replace(options, points=points, max_voxels=voxels, max_rows=int(free / 4 / BYTES_PER_ROW))
