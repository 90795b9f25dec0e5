"""What a picture shows: a cloud in metres with z up, its truth and what was predicted for it."""

from dataclasses import dataclass

import numpy as np

from pcseg.data.alignment import IDENTITY, Frame, Units, Up, find_frame
from pcseg.data.io.clouds import Cloud
from pcseg.data.predictions import SavedPrediction
from pcseg.errors import UserError
from pcseg.labels import LabelSchema
from pcseg.views.layers.head_maps import HeadMaps


@dataclass(kw_only=True)
class Subject:
    """A cloud to look at; only points that have a position.

    Args:
        name: For titles.
        pos: ``(N, 3)`` float32 metres, z up.
        color: ``(N, 3)`` uint8, or ``None``.
        label: True classes ``(N,)``, or ``None``.
        prediction: Predicted classes ``(N,)``, or ``None``.
        confidence: ``(N,)`` in 0..1, or ``None``.
        schema: The classes of ``label`` and ``prediction``.
        maps: What the head of a model did with the points, or ``None``.
        sensor: Where the camera of a single view stood, ``(3,)``, or ``None``.
        pixels: Height and width where the points are the pixels of a picture, row by row, or ``None``.
        remarks: Units and axes of the file, in plain language.
    """

    name: str
    pos: np.ndarray
    color: np.ndarray | None = None
    label: np.ndarray | None = None
    prediction: np.ndarray | None = None
    confidence: np.ndarray | None = None
    schema: LabelSchema | None = None
    maps: HeadMaps | None = None
    sensor: np.ndarray | None = None
    pixels: tuple[int, int] | None = None
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pos)


def make_subject(
    cloud: Cloud,
    prediction: SavedPrediction | None = None,
    *,
    maps: HeadMaps | None = None,
    units: Units = "auto",
    up: Up = "auto",
) -> Subject:
    """Bring cloud and prediction together, in metres with z up.

    Units and axes are those of the prediction if it has them, else they are found or taken as given; ``maps`` has
    a row for every point of the cloud.

    Raises:
        UserError: The prediction has another number of points, or other classes than the cloud.
    """
    rows = cloud.finite
    if prediction is not None and len(prediction.label) != len(cloud):
        raise UserError(
            f"{cloud.source} has {len(cloud)} points but its prediction {len(prediction.label)} (made from "
            f"{prediction.source}); give the prediction of this file"
        )
    if prediction is not None and cloud.schema is not None:
        cloud.schema.require_same(prediction.schema, this=str(cloud.source), that="the prediction")
    frame = frame_of(cloud, prediction, units=units, up=up)
    return Subject(
        name=cloud.source.stem,
        pos=frame.apply(cloud.pos[rows]),
        color=None if cloud.color is None else cloud.color[rows],
        label=None if cloud.label is None else cloud.label[rows],
        prediction=None if prediction is None else prediction.label[rows],
        confidence=None if prediction is None else prediction.confidence[rows],
        schema=cloud.schema or (prediction.schema if prediction is not None else None),
        maps=None if maps is None else maps.take(rows),
        sensor=frame.sensor,
        remarks=frame.remarks,
    )


def frame_of(cloud: Cloud, prediction: SavedPrediction | None, *, units: Units, up: Up) -> Frame:
    """The frame to look at a cloud in."""
    if cloud.schema is not None:
        return IDENTITY
    if prediction is not None and prediction.frame is not None and (units, up) == ("auto", "auto"):
        return prediction.frame
    return find_frame(cloud.pos, units=units, up=up)
