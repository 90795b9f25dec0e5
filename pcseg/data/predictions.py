"""Predictions on disk: one ``.npz`` a cloud, one row a point, with its classes and its model's hash."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.data.alignment import Frame
from pcseg.errors import UserError, reason
from pcseg.files import atomic_path
from pcseg.labels import LabelSchema


@dataclass(kw_only=True)
class SavedPrediction:
    """What was predicted for the points of one file.

    Args:
        label: Class of each point (N,) int16, -1 where none was predicted.
        confidence: Probability of that class (N,) float32 in 0..1, 0 where none was predicted.
        schema: Meaning of the classes.
        source: Name of the file or scene that was predicted.
        checkpoint: Hash of the checkpoint.
        frame: Units and axes under which the file was read, ``None`` for prepared scenes.

    Convention:
        Row i belongs to point i of the source, in the source's order.
    """

    label: np.ndarray
    confidence: np.ndarray
    schema: LabelSchema
    source: str
    checkpoint: str
    frame: Frame | None = None


def write_prediction(path: Path, prediction: SavedPrediction) -> None:
    """Write a prediction as ``.npz``; the file appears when it is complete.

    Its arrays are ``label``, ``confidence``, ``class_names``, ``label_schema`` (JSON), ``source``,
    ``checkpoint`` and perhaps ``frame`` (JSON).
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
    """Read :func:`write_prediction`.

    Raises:
        UserError: No such file, or not a prediction.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such prediction; make one with scripts/predict.py")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        label, confidence = arrays["label"], arrays["confidence"]
        schema = LabelSchema.from_json(str(arrays["label_schema"]), source=str(path))
        frame = Frame.from_json(str(arrays["frame"])) if "frame" in arrays else None
        source, checkpoint = str(arrays["source"]), str(arrays["checkpoint"])
    except Exception as error:  # zipfile, zlib and numpy all have their own
        raise UserError(
            f"{path}: not a prediction ({reason(error)}); make one with scripts/predict.py"
        ) from error
    if label.ndim != 1 or label.shape != confidence.shape or label.max(initial=-1) >= schema.num_classes:
        raise UserError(f"{path}: its labels do not fit its confidences or classes; predict again")
    return SavedPrediction(
        label=label, confidence=confidence, schema=schema, source=source, checkpoint=checkpoint, frame=frame
    )


def find_prediction(place: Path, source: Path) -> Path:
    """``place`` itself if it is a file, else the prediction for ``source`` in the folder ``place``.

    A folder is searched with its subfolders for ``<name>.npz``; scenes of one name in several areas are told
    apart by the folder they lie in, and of several predictions of one scene the newest is taken.

    Raises:
        UserError: There is none.
    """
    if not place.is_dir():
        return place
    found = sorted(place.rglob(f"{source.stem}.npz"))
    if len(found) > 1:
        found = [path for path in found if path.parent.name == source.parent.name] or found
    if not found:
        raise UserError(f"{place}: holds no {source.stem}.npz; make it with scripts/predict.py {source}")
    return max(found, key=lambda path: path.stat().st_mtime)
