"""Recognize what pcseg has written: prepared folders, runs, evaluations and predictions are never raw data."""

import json
import os
import zipfile
from contextlib import suppress
from pathlib import Path

from pcseg.data.io.labeled import LABELED
from pcseg.data.io.labels import LABEL_FIELD
from pcseg.data.manifest import MANIFEST_NAME
from pcseg.errors import UserError

RESULTS = (("config.json", "last.ckpt"), ("results.json", "results.md"))
"""Files that are found together in the folder of a run or an evaluation."""

PREDICTION = {"label.npy", "confidence.npy", "label_schema.npy", "checkpoint.npy"}
"""Arrays of a prediction."""

NAMES = 1 << 16
"""Bytes at the start and at the end of a file that are searched for the name of a field."""

COLORED = ["x", "y", "z", "red", "green", "blue", "label", "confidence"]
"""Properties of the colored PLY file of a prediction."""


def is_output(path: Path) -> bool:
    """Return whether pcseg wrote a folder or a point cloud; damaged files are left to their reader."""
    if path.is_dir():
        return _is_prepared(path) or any(all((path / name).is_file() for name in names) for names in RESULTS)
    if path.stem.endswith(LABELED) and path.is_file() and _is_labeled(path):
        return True
    tests = {".h5": _is_scene, ".npz": _is_prediction, ".ply": _is_colored}
    with suppress(OSError, zipfile.BadZipFile, ValueError):
        return path.suffix.lower() in tests and tests[path.suffix.lower()](path)
    return False


def left_out(path: Path) -> str:
    """Return the remark about output that is not taken as data."""
    return f"{path}: written by pcseg, not taken as data"


def broken_link(path: Path) -> UserError:
    """Return the error of a link without its target."""
    return UserError(f"{path}: broken link. Mount or restore its target, or remove the link.")


def require_other_folder(raw: Path, out: Path) -> None:
    """Raise :class:`UserError` if prepared scenes would be written among the raw files."""
    if out.resolve() == raw.resolve():
        raise UserError(
            f"{out}: is the folder of the raw data. Choose another folder for the prepared scenes."
        )


def _is_prepared(folder: Path) -> bool:
    with suppress(OSError, ValueError):  # of another program
        fields = json.loads((folder / MANIFEST_NAME).read_text())
        return isinstance(fields, dict) and {"format_version", "schema", "scenes"} <= fields.keys()
    return False


def _is_scene(path: Path) -> bool:
    import h5py

    with h5py.File(path, "r") as file:
        return "label_schema" in file.attrs


def _is_prediction(path: Path) -> bool:
    with zipfile.ZipFile(path) as file:
        return set(file.namelist()) >= PREDICTION


def _is_labeled(path: Path) -> bool:
    """Return whether a copy of a cloud has predicted classes: formats name their fields near the start or the end."""
    with path.open("rb") as file:
        start = file.read(NAMES)
        file.seek(-min(NAMES, path.stat().st_size), os.SEEK_END)
        named = LABEL_FIELD.encode() in start + file.read()
    return named or is_output(path.with_name(f"{path.stem.removesuffix(LABELED)}.npz"))


def _is_colored(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(1000).partition(b"end_header")[0].decode("latin-1").splitlines()
    return [line.split()[-1] for line in header if line.startswith("property")] == COLORED
