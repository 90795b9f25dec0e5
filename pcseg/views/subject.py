"""The subject of a view: a cloud in meters with z up, with its labels and its prediction."""

from dataclasses import dataclass

import numpy as np

from pcseg.data.alignment import Frame, Units, Up
from pcseg.data.io.clouds import Cloud, cloud_frame
from pcseg.data.predictions import SavedPrediction
from pcseg.errors import UserError
from pcseg.labels import LabelSchema
from pcseg.views.layers.head_maps import HeadMaps


@dataclass(kw_only=True)
class Subject:
    """A cloud or an image to view; all points have finite positions.

    Args:
        name: Name for titles.
        pos: ``(N, 3)`` float32 meters, z up. Pixels of an image lie at their column, with the last row at y = 0.
        color: ``(N, 3)`` uint8, or ``None``.
        label: True classes ``(N,)``, or ``None``.
        prediction: Predicted classes ``(N,)``, or ``None``.
        confidence: ``(N,)`` in 0..1, or ``None``.
        features: Colors of the features of an encoder or backbone, ``(N, 3)`` uint8, or ``None``.
        schema: The classes of ``label`` and ``prediction``.
        maps: What the head of a model computed for the points, or ``None``.
        sensor: Position of the sensor of a single scan, ``(3,)``, or ``None``.
        pixels: Height and width if the points are the pixels of an image, row by row, else ``None``.
        remarks: Units and axes of the file, as text.
    """

    name: str
    pos: np.ndarray
    color: np.ndarray | None = None
    label: np.ndarray | None = None
    prediction: np.ndarray | None = None
    confidence: np.ndarray | None = None
    features: np.ndarray | None = None
    schema: LabelSchema | None = None
    maps: HeadMaps | None = None
    sensor: np.ndarray | None = None
    pixels: tuple[int, int] | None = None
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pos)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, empty without a schema."""
        return self.schema.names if self.schema else ()

    @property
    def kind(self) -> str:
        """``cloud`` or ``image``, for titles."""
        return "cloud" if self.pixels is None else "image"


def make_subject(
    cloud: Cloud,
    prediction: SavedPrediction | None = None,
    *,
    frame: Frame | None = None,
    units: Units = "auto",
    up: Up = "auto",
) -> Subject:
    """Combine a cloud and its prediction, in meters with z up.

    Points without a finite position are left out. ``frame`` has the units and axes of the file; by default they are
    those of the prediction, or estimated, or as given by ``units`` and ``up``.

    Raises:
        UserError: The prediction has a different number of points, or other classes than the cloud.
    """
    rows = cloud.finite
    if prediction is not None and len(prediction.label) != len(cloud):
        raise UserError(
            f"{cloud.source}: has {len(cloud)} points, but the prediction (of {prediction.source}) has "
            f"{len(prediction.label)}. Pass the prediction of this file."
        )
    if prediction is not None and cloud.schema is not None:
        cloud.schema.require_same(prediction.schema, this=str(cloud.source), that="the prediction")
    if frame is None and prediction is not None and cloud.schema is None and (units, up) == ("auto", "auto"):
        frame = prediction.frame
    frame = frame or cloud_frame(cloud, slice(None), units=units, up=up)
    return Subject(
        name=cloud.source.stem,
        pos=frame.apply(cloud.pos[rows]),
        color=None if cloud.color is None else cloud.color[rows],
        label=None if cloud.label is None else cloud.label[rows],
        prediction=None if prediction is None else prediction.label[rows],
        confidence=None if prediction is None else prediction.confidence[rows],
        schema=cloud.schema or (prediction.schema if prediction is not None else None),
        sensor=frame.sensor,
        remarks=frame.remarks,
    )
