"""Predictions on disk: ``.npz`` files with one row per point, the classes and the model, and labeled clouds."""

import glob
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.data.alignment import Frame
from pcseg.data.io.labeled import LABELED, read_labels
from pcseg.data.io.labels import LABEL_FIELD
from pcseg.errors import UserError, reason
from pcseg.files import atomic_path
from pcseg.labels import LabelSchema


@dataclass(kw_only=True)
class SavedPrediction:
    """The prediction for the points of one file.

    Args:
        label: Class of each point (N,) int16, -1 for points without a prediction.
        confidence: Probability of that class (N,) float32 in 0..1, 0 for points without a prediction.
        source: Name of the file or scene.
        checkpoint: Hash of the checkpoint; empty for a labeled cloud, which does not state it.
        frame: Units and axes that were assumed for the file, ``None`` for prepared scenes.

    Convention:
        Row i belongs to point i of the source.
    """

    label: np.ndarray
    confidence: np.ndarray
    schema: LabelSchema
    source: str
    checkpoint: str
    frame: Frame | None = None


def write_prediction(path: Path, prediction: SavedPrediction) -> None:
    """Write a prediction as ``.npz`` atomically.

    The arrays are ``label``, ``confidence``, ``class_names``, ``label_schema`` (JSON), ``source``,
    ``checkpoint`` and optionally ``frame`` (JSON).
    """
    arrays: dict[str, np.ndarray] = {
        "label": prediction.label.astype(np.int16),
        "confidence": prediction.confidence.astype(np.float32),
        "class_names": np.array(prediction.schema.names),
        "label_schema": np.array(prediction.schema.to_json()),
        "source": np.array(prediction.source),
        "checkpoint": np.array(prediction.checkpoint),
    }
    if prediction.frame is not None:
        arrays["frame"] = np.array(prediction.frame.to_json())
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType] - no key is "allow_pickle"


def read_prediction(path: Path) -> SavedPrediction:
    """Read a file of :func:`write_prediction`, or a cloud with predicted classes.

    Raises:
        UserError: No such file, or not a prediction.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file. Create it with pcseg predict.")
    try:
        arrays: dict[str, np.ndarray] = {}
        if path.suffix.lower() == ".npz":
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
        if not arrays or (LABEL_FIELD in arrays and "label_schema" not in arrays):
            return _of_labeled(path)
        label, confidence = arrays["label"], arrays["confidence"]
        schema = LabelSchema.from_json(str(arrays["label_schema"]), source=str(path))
        frame = Frame.from_json(str(arrays["frame"])) if "frame" in arrays else None
        source, checkpoint = str(arrays["source"]), str(arrays["checkpoint"])
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy each raise their own
        raise UserError(
            f"{path}: not a prediction ({reason(error)}). Create one with pcseg predict."
        ) from error
    if label.ndim != 1 or label.shape != confidence.shape or label.max(initial=-1) >= schema.num_classes:
        raise UserError(f"{path}: its labels do not match its confidences or classes. Predict again.")
    return SavedPrediction(
        label=label, confidence=confidence, schema=schema, source=source, checkpoint=checkpoint, frame=frame
    )


def _of_labeled(path: Path) -> SavedPrediction:
    label, confidence, schema = read_labels(path)
    source = f"{path.stem.removesuffix(LABELED)}{path.suffix}"
    return SavedPrediction(label=label, confidence=confidence, schema=schema, source=source, checkpoint="")


def find_prediction(path: Path, source: Path) -> Path:
    """Return ``path`` if it is a file, otherwise the prediction for ``source`` in the folder ``path``.

    The folder is searched recursively for ``<name>.npz``, then for ``<name>_labeled``, which is all that tiles leave.
    Scenes of the same name in several areas are distinguished by their parent folder; of several predictions for one
    scene, the newest is used.

    Raises:
        UserError: There is no such prediction.
    """
    if not path.is_dir():
        return path
    name = glob.escape(source.stem)
    found = sorted(path.rglob(f"{name}.npz")) or sorted(path.rglob(f"{name}{LABELED}.*"))
    if len(found) > 1:
        found = [path for path in found if path.parent.name == source.parent.name] or found
    if not found:
        raise UserError(f"{path}: contains no {source.stem}.npz. Run pcseg predict {source}.")
    return max(found, key=lambda path: path.stat().st_mtime)
