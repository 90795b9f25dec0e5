"""Charts of what a head computes for a whole cloud: titles, values, many classes."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.view_rooms import EXPLAINED as ROOM
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pcseg.errors import UserError
from pcseg.labels import S3DIS, LabelSchema
from pcseg.views.render.charts import context_figure, context_picture
from pcseg.views.subject import Subject

MAPS = ROOM.maps
assert MAPS is not None


def charts(subject: Subject) -> dict[str, Axes]:
    """Return the charts by the first part of their titles."""
    figure: Figure = context_figure(subject, size=(1280, 720), palette="canonical")
    return {axes.get_title("left").split(":")[0]: axes for axes in figure.axes}


def test_ctnet() -> None:
    found = charts(ROOM)
    assert list(found) == [
        "cosine similarity of class features",
        "cosine similarity of keys of the classes",
        "class probability of the cloud",
        "channel vector (32 channels)",
    ]
    matrix = found["cosine similarity of keys of the classes"].images[0].get_array()
    np.testing.assert_array_equal(matrix, MAPS.similarity["keys of the classes"])
    bars = found["class probability of the cloud"].containers
    np.testing.assert_allclose([bar.get_width() for bar in bars[0]], MAPS.class_prob)
    np.testing.assert_allclose([bar.get_width() for bar in bars[1]], MAPS.frequency)
    names = [text.get_text() for text in found["class probability of the cloud"].get_yticklabels()]
    assert names == list(S3DIS.names)
    np.testing.assert_array_equal(
        found["channel vector (32 channels)"].patches[0].get_data().values, MAPS.channel
    )


def test_encnet() -> None:
    present = MAPS.class_prob > 0.1
    maps = replace(MAPS, similarity={}, class_prob=None, presence=MAPS.class_prob, present=present)
    found = charts(replace(ROOM, maps=maps))
    assert list(found) == [
        "mean weight of each codeword",
        "smoothing factor of each codeword",
        "class presence",
        "scaling factors (32 channels)",
    ]
    truth = [bar.get_width() for bar in found["class presence"].containers[1]]
    np.testing.assert_array_equal(truth, present)


def test_of_many_classes_the_largest_are_drawn() -> None:
    number = 200
    names = tuple(f"kind {i}" for i in range(number))
    schema = LabelSchema(name="many", names=names, colors=tuple((i, 0, 0) for i in range(number)))
    prob, truth = np.full(number, 0.001), np.zeros(number)
    prob[[3, 150, 199]] = 0.2, 0.3, 0.25
    truth[180] = 0.5
    maps = replace(
        MAPS,
        similarity={"keys": np.eye(number)},
        class_prob=prob,
        frequency=truth,
        channel=np.linspace(0, 1, 512),
    )
    subject = replace(ROOM, name="scan", maps=maps, schema=schema, pixels=(40, 100))
    axes = charts(subject)["class probability of the image"]
    shown = [text.get_text() for text in axes.get_yticklabels()]
    assert {"kind 3", "kind 150", "kind 180", "kind 199"} <= set(shown)
    assert shown == sorted(shown, key=names.index)
    assert axes.get_xlabel() == f"and {number - len(shown)} more, each at most 0.001"
    small = context_picture(subject, size=(320, 180))
    assert small.size == (320, 180)
    assert "scan: context of the whole image, Head" in small.info["Description"]


def test_charts_fill_their_page() -> None:
    page = np.asarray(context_picture(ROOM, palette="colorblind"))
    assert page.shape == (720, 1280, 3)
    for part in (page[60:480, :900], page[60:480, 960:], page[540:, :]):
        assert 0.02 < (part != 255).any(axis=-1).mean() < 0.95


def test_heads_without_context_are_refused() -> None:
    with pytest.raises(UserError, match=r"Head computes no context of the whole cloud\. Use CTNet or EncNet"):
        context_picture(replace(ROOM, maps=replace(MAPS, channel=None)))
    with pytest.raises(UserError, match="Pass --ckpt"):
        context_picture(replace(ROOM, maps=None))
