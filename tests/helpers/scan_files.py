"""The same twenty points as files of formats that optional packages read."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers.cloud_files import COLOR, POS

needs_laspy = pytest.mark.skipif(
    find_spec("laspy") is None or find_spec("lazrs") is None, reason="laspy[lazrs] is not installed"
)
needs_pye57 = pytest.mark.skipif(find_spec("pye57") is None, reason="pye57 is not installed")


def write_laz(path: Path, kind: int, *, count: int = 20) -> Path:
    """A LAZ file of millimetres of point format ``kind``."""
    import laspy  # pyright: ignore[reportMissingImports]

    las = laspy.create(point_format=kind, file_version="1.4" if kind >= 6 else "1.2")
    las.header.scales, las.header.offsets = [0.001] * 3, [100.0, 200.0, 300.0]
    las.x, las.y, las.z = POS[:count].T.astype(np.float64)
    las.classification = np.arange(count)
    if "red" in las.point_format.dimension_names:
        las.red, las.green, las.blue = COLOR[:count].T.astype(np.uint16) * 257
    las.write(str(path), do_compress=True, laz_backend=laspy.LazBackend.Lazrs)
    return path


def write_e57(
    path: Path, *, invalid: int | None = None, spherical: bool = False, empty: bool = False
) -> Path:
    """Two scans of ten points each, the second one turned and moved; its points are those of the file."""
    import pye57  # pyright: ignore[reportMissingImports]

    with pye57.E57(str(path), mode="w") as file:
        for number in range(0 if empty else 2):
            rows = slice(10 * number, 10 * number + 10)
            pos = POS[rows].astype(np.float64)
            if number == 1:  # the scanner's frame: turned by 90 degrees about z, then moved
                pos = (pos - (10, 20, 30)) @ np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
            data = dict(zip(("cartesianX", "cartesianY", "cartesianZ"), pos.T))
            data |= dict(zip(("colorRed", "colorGreen", "colorBlue"), COLOR[rows].T))
            if number == 0:
                data["intensity"] = np.linspace(0, 1, 10, dtype=np.float32)
            if invalid is not None:
                data["cartesianInvalidState"] = (np.arange(20)[rows] == invalid).astype(np.int8)
            turn, move = [(1, 0, 0, 0), (0.5**0.5, 0, 0, 0.5**0.5)][number], [(0, 0, 0), (10, 20, 30)][number]
            file.write_scan_raw(data, rotation=np.array(turn), translation=np.array(move))
    return path
