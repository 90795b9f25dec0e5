"""NumPy and HDF5 files: layouts that other projects write, and arrays that are not points."""

from pathlib import Path

import numpy as np
from helpers.corpus.rows import Row

POS = np.array([[0.5, 1.5, 2.5], [-1, 2, 3], [4, 5, 6.25]])


def npz(path: Path) -> None:
    np.savez(path, xyz=POS, label=np.arange(3))


ROWS = [Row(id="xyz", file="a.npz", content=npz, pos=POS, columns={"label": [0, 1, 2]})]
