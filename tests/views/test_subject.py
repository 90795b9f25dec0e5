"""Subjects: which points are shown, and which predictions fit."""

from pathlib import Path

import numpy as np
import pytest
from helpers.view_rooms import ROOM

from pcseg.data.io.clouds import Cloud
from pcseg.data.predictions import SavedPrediction
from pcseg.errors import UserError
from pcseg.labels import S3DIS, LabelSchema
from pcseg.views.subject import make_subject


def saved(label: np.ndarray, schema: LabelSchema = S3DIS) -> SavedPrediction:
    confidence = np.ones(len(label), np.float32)
    return SavedPrediction(label=label, confidence=confidence, schema=schema, source="a", checkpoint="b")


def test_points_without_a_position_are_left_out() -> None:
    pos = np.concatenate([ROOM.pos, [[np.nan] * 3]]).astype(np.float32)
    label = np.append(ROOM.label, 3).astype(np.int16)
    subject = make_subject(Cloud(source=Path("a.ply"), pos=pos), saved(label), units="m", up="z")
    assert len(subject) == len(ROOM)
    np.testing.assert_array_equal(subject.prediction, ROOM.label)


def test_prediction_must_fit() -> None:
    cloud = Cloud(source=Path("a.ply"), pos=ROOM.pos, label=ROOM.label, schema=S3DIS)
    with pytest.raises(UserError, match=r"a\.ply: has 20000 points, but the prediction \(of a\) has 5"):
        make_subject(cloud, saved(np.zeros(5, np.int16)))
    other = LabelSchema(name="other", names=S3DIS.names[::-1], colors=S3DIS.colors)
    with pytest.raises(UserError, match="label schemas differ"):
        make_subject(cloud, saved(np.zeros(len(ROOM), np.int16), other))
