"""Predict any point cloud: one class per point in the order of the file, whatever its units and axes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcseg.checkpoint import LoadedModel, ModelKind
from pcseg.data.alignment import Frame, Units, Up
from pcseg.data.inspect_cloud import summary
from pcseg.data.io.clouds import Cloud, cloud_frame
from pcseg.data.io.labeled import find_writer, labeled_path
from pcseg.data.io.labels import PointLabels
from pcseg.data.io.ply import write_ply
from pcseg.data.normals import normals_from_inside
from pcseg.data.predictions import SavedPrediction, write_prediction
from pcseg.data.room_frame import GivenAxes
from pcseg.data.rooms import in_room_axes
from pcseg.data.sample import Sample
from pcseg.data.surfaces import find_strays
from pcseg.errors import UserError
from pcseg.files import atomic_paths
from pcseg.inference.points import PointOptions, Prediction, predict_scene
from pcseg.inference.tta import SINGLE_PASS, TTAPass
from pcseg.labels import IGNORE_INDEX, LabelSchema, Palette, class_colors
from pcseg.pretrained import ships
from pcseg.values import Probability

ENDINGS: dict[ModelKind, tuple[str, str]] = {"points": (".npz", ".ply"), "images": (".png", "_overlay.jpg")}
"""Ends of the names of the two files of a prediction."""


@dataclass(kw_only=True)
class CloudPrediction(SavedPrediction):
    """A point cloud and its prediction; row i belongs to point i of the file.

    Args:
        cloud: The points as read from the file.
        remarks: Lines for the user about the file and how it was processed.
    """

    cloud: Cloud
    remarks: list[str]

    def write(self, folder: Path | str, *, palette: Palette = "canonical") -> tuple[Path, ...]:
        """Write ``<name>.npz``, the colored ``<name>.ply`` and ``<name>_labeled`` and return their paths.

        The last one is the source with two more fields per point, see :mod:`pcseg.data.io.labeled`; a remark states
        why if it cannot be written.

        *Convention*: The PLY file has the coordinates of the source, not meters with z up. It has a row for every
        point of the source, with or without a position.
        """
        source = self.cloud.source
        writer, remark = find_writer(self.cloud)
        self.remarks += [remark] * bool(remark)
        paths = output_paths(source, folder, "points") + (labeled_path(source, folder),) * (
            writer is not None
        )
        color = class_colors(self.schema, palette)[self.label]
        columns = dict(zip("xyz", self.cloud.pos.T)) | dict(zip(("red", "green", "blue"), color.T))
        with atomic_paths(*paths) as temporaries:
            write_prediction(temporaries[0], self)
            write_ply(temporaries[1], columns | {"label": self.label, "confidence": self.confidence})
            if writer is not None:
                rows = PointLabels(
                    count=len(self.label),
                    rows=lambda start, stop: (self.label[start:stop], self.confidence[start:stop]),
                    schema=self.schema,
                )
                writer(source, temporaries[2], rows)
        return paths


def output_paths(source: Path, folder: Path | str, kind: ModelKind) -> tuple[Path, Path]:
    """Return the two files of a prediction; raise :class:`UserError` if one of them is the source."""
    first, second = (Path(folder) / f"{source.stem}{ending}" for ending in ENDINGS[kind])
    if source.resolve() in (first.resolve(), second.resolve()):
        raise UserError(f"--out {folder}: the prediction would replace {source}. Choose another folder.")
    return first, second


def predict_cloud(
    model: LoadedModel,
    cloud: Cloud,
    *,
    units: Units = "auto",
    up: Up = "auto",
    axes: GivenAxes = GivenAxes(),  # noqa: B008 - immutable
    min_confidence: Probability = 0.0,
    options: PointOptions = PointOptions(),  # noqa: B008 - immutable
    on_progress: Callable[[float], None] | None = None,
) -> CloudPrediction:
    """Predict the class of every point of a cloud.

    Points without a position and outliers far from all others get class -1 with confidence 0. Points below
    ``min_confidence`` get class -1 with their confidence.

    Args:
        units, up, min_confidence: As for ``pcseg predict``.
        axes: What is known about the axes of the room, for models that see scans along them.
        on_progress: Function that is called after every forward pass with the finished share.

    Raises:
        UserError: The model is an image model, or needs a field that the cloud lacks and its checkpoint has no
            substitute for.
    """
    start = time.perf_counter()
    usable, left_out = usable_rows(cloud)
    count = len(usable)
    rows = slice(None) if count == len(cloud) else usable  # a slice copies nothing
    del usable
    frame = cloud_frame(cloud, rows, units=units, up=up)
    remarks = [f"read: {cloud.source}, {summary(cloud, frame)}", *cloud.remarks, *left_out, *frame.remarks]
    if ships(model.path):
        remarks.append(
            f"model: {model.path.stem}, which ships with pcseg and was trained on generated scans only"
        )
    sample = make_sample(model, cloud, rows, frame, remarks, axes)
    prediction = predict_scene(
        model.network,
        sample,
        grid_size=model.grid_size,
        features=model.features,
        options=options,
        on_progress=on_progress,
    )
    seconds = time.perf_counter() - start
    label = np.full(len(cloud), IGNORE_INDEX, dtype=np.int16)
    confidence = np.zeros(len(cloud), dtype=np.float32)
    label[rows], confidence[rows] = confident_labels(prediction, model, min_confidence), prediction.confidence
    remarks.append(
        f"prediction: {count:,} points in {seconds:.1f} s ({count / seconds:,.0f} points per second)"
    )
    if count:
        shares = np.bincount(label[rows] + 1, minlength=model.schema.num_classes + 1)[1:] / count
        if shares.sum() < 1 and min_confidence:
            remarks.append(
                f"confidence below {min_confidence:g}: {1 - shares.sum():.1%} of the points, no class"
            )
        remarks += [
            f"classes: {class_shares(shares, model.schema)}",
            f"confidence: {prediction.confidence.mean():.2f} on average",
        ]
    remarks += accuracy_remark(cloud, label, model.schema)
    return CloudPrediction(
        label=label,
        confidence=confidence,
        schema=model.schema,
        source=cloud.source.name,
        checkpoint=model.hash,
        frame=frame,
        cloud=cloud,
        remarks=remarks,
    )


def predict_sample(
    model: LoadedModel, sample: Sample, *, options: PointOptions, passes: Sequence[TTAPass] = SINGLE_PASS,
    probabilities: bool = False, on_progress: Callable[[float], None] | None = None,
) -> Prediction:  # fmt: skip
    """Predict a prepared scene in the axes that a model sees, by :func:`~pcseg.inference.points.predict_scene`."""
    return predict_scene(
        model.network, in_axes_of(model, sample), grid_size=model.grid_size, features=model.features,
        options=options, passes=passes, probabilities=probabilities, on_progress=on_progress,
    )  # fmt: skip


def confident_labels(prediction: Prediction, model: LoadedModel, min_confidence: float) -> np.ndarray:
    """Return the labels ``(N,)``, -1 below ``min_confidence`` and for classes that the label set does not annotate."""
    known = (prediction.label < model.schema.num_classes) & (prediction.confidence >= min_confidence)
    return np.where(known, prediction.label, IGNORE_INDEX).astype(np.int16)


def accuracy_remark(cloud: Cloud, label: np.ndarray, schema: LabelSchema) -> list[str]:
    """Return a line with the overall accuracy, or none for a cloud without labels of these classes."""
    if cloud.label is None or cloud.schema is None or cloud.schema.names != schema.names:
        return []
    known = cloud.label >= 0
    if not known.any():
        return ["overall accuracy: no labels in the file"]
    accuracy = np.mean(label[known] == cloud.label[known])
    return [f"overall accuracy: {accuracy:.1%} of the labeled points"]


def usable_rows(cloud: Cloud) -> tuple[np.ndarray, list[str]]:
    """Return the points that can be predicted, and remarks on the others (:func:`~pcseg.data.surfaces.find_strays`)."""
    remarks: list[str] = []
    rows = np.flatnonzero(cloud.finite)
    if len(rows) < len(cloud):
        remarks.append(f"{len(cloud) - len(rows):,} points without a position (NaN or infinite): no class")
    if not len(rows):
        return rows, remarks
    near = ~find_strays(cloud.pos[rows])
    if not near.all():
        remarks.append(f"{np.count_nonzero(~near):,} outliers far from all other points: no class")
    return rows[near], remarks


def make_sample(
    model: LoadedModel,
    cloud: Cloud,
    rows: np.ndarray | slice,
    frame: Frame,
    remarks: list[str],
    axes: GivenAxes = GivenAxes(),  # noqa: B008 - immutable
) -> Sample:
    """Return :func:`sample_in_frame` in the axes that the model sees; rotations are added to ``remarks``."""
    return in_axes_of(model, sample_in_frame(model, cloud, rows, frame, remarks), remarks, axes)


def sample_in_frame(
    model: LoadedModel, cloud: Cloud, rows: np.ndarray | slice, frame: Frame, remarks: list[str]
) -> Sample:
    """Return the points ``rows`` in meters with z up and with the fields that the model needs.

    Substitutes are added to ``remarks``.

    Raises:
        UserError: The model is an image model, or needs a field that the cloud lacks and its checkpoint has no
            substitute for.
    """
    if model.kind != "points":
        raise UserError(f"{model.path}: an image model. Choose the checkpoint of a point model.")
    pos = frame.apply(cloud.pos[rows])
    normal = None
    if "normal" in model.features:
        if cloud.normal is not None:
            normal = frame.rotate(cloud.normal[rows])
        elif not len(pos) or substitute(model, "normal", cloud) == "estimate":
            normal = normals_from_inside(pos)
            if len(pos):
                remarks.append("normals: not in the file, estimated from neighbors")
    if cloud.color is not None:
        color = cloud.color[rows]
    elif "color" in model.features:
        mean = np.array(substitute(model, "color", cloud), dtype=np.float32)
        color = np.broadcast_to(mean, (len(pos), 3))
        text = ", ".join(f"{value:.0f}" for value in mean)
        remarks.append(f"color: not in the file, replaced by the constant ({text}); accuracy may drop")
    else:
        color = np.broadcast_to(np.uint8(0), (len(pos), 3))
    none = np.broadcast_to(np.int16(IGNORE_INDEX), len(pos))  # takes no memory
    return Sample(name=cloud.source.name, pos=pos, color=color, label=none, instance=none, normal=normal)


def in_axes_of(
    model: LoadedModel,
    sample: Sample,
    remarks: list[str] | None = None,
    axes: GivenAxes = GivenAxes(),  # noqa: B008 - immutable
) -> Sample:
    """Return a sample in the axes that the model sees; a rotation is added to ``remarks``.

    Raises:
        UserError: ``axes`` are given for a model that sees scans in their own axes.
    """
    if not model.card.room_axes:
        if axes != GivenAxes():
            raise UserError(
                f"--yaw, --level: {model.path} sees scans in the axes of the file. Leave them out, or rotate the file."
            )
        return sample
    sample, remark = in_room_axes(sample, axes)
    if remarks is not None:
        remarks.append(remark)
    return sample


def substitute(model: LoadedModel, field: str, cloud: Cloud) -> object:
    """Return the value that the checkpoint provides for a missing field."""
    value = model.card.missing_fields.get(field)
    if value is None:
        raise UserError(
            f"{cloud.source}: has no {field}, but {model.path} was trained with it. Add {field} to the file or "
            "choose another model."
        )
    return value


def class_shares(shares: np.ndarray, schema: LabelSchema) -> str:
    """Return the classes with their shares ``(K,)``, the largest first; classes without any point are left out."""
    order = [k for k in np.argsort(-shares, kind="stable") if shares[k] > 0]
    return ", ".join(
        f"{schema.names[k]} {shares[k]:.1%}" if shares[k] >= 0.001 else f"{schema.names[k]} <0.1%"
        for k in order
    )
