"""Charts of what a head computes for a whole cloud: titles, values, many classes."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.view_rooms import EXPLAINED as ROOM
from helpers.view_rooms import TOKENS
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from pcseg.errors import UserError
from pcseg.labels import S3DIS, LabelSchema
from pcseg.views.render.charts import context_figure, context_picture, slab_figure
from pcseg.views.subject import Subject

MAPS = ROOM.maps
assert MAPS is not None
assert MAPS.slabs is not None


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


def slab_charts(subject: Subject) -> list[Axes]:
    return slab_figure(subject, size=(1280, 720), palette="canonical").axes


def edges_of(axes: Axes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the tops and the edges of stacked areas, the highest first."""
    data = [patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)]
    return [(found.values, found.edges) for found in data]


def test_slabs() -> None:
    along_x, along_z = MAPS.slabs
    gap = replace(
        along_x, start=along_x.start + 0.5 * (np.arange(TOKENS) > 4)
    )  # an empty slab after the fifth
    *charts, legend = slab_charts(replace(ROOM, maps=replace(MAPS, slabs=[gap, along_z])))
    assert [axes.get_title("left") for axes in charts] == [
        "class shares along x",
        "",
        "class shares along z",
        "",
    ]
    assert [axes.get_ylabel() for axes in charts] == ["predicted", "true", "z in m", ""]
    assert [axes.get_xlabel() for axes in charts] == ["", "x in m", "predicted", "true"]
    tables = gap.predicted, gap.true, along_z.predicted, along_z.true
    for axes, table in zip(charts, tables, strict=True):
        upright = len(table) == 3
        stacks = edges_of(axes)
        assert len(stacks) == 13
        for k, (tops, edges) in zip(reversed(range(13)), stacks):
            height = [sum(float(share) for share in row[: k + 1]) for row in table]
            if not upright:
                height.insert(5, 0)
            np.testing.assert_allclose(tops, height, atol=1e-6)
            np.testing.assert_allclose(edges[[0, -1]], (0, 2.8 if upright else 6.5))
        assert axes.get_xlim() == ((0, 1) if upright else (0, 6.5))
        assert axes.get_ylim() == ((0, pytest.approx(2.8)) if upright else (0, 1))
        assert axes.patches[0].get_facecolor()[:3] == tuple(np.array(S3DIS.colors[-1]) / 255)
    texts = legend.get_legend().get_texts()
    assert [text.get_text() for text in texts] == list(S3DIS.names)[::-1]
    unlabeled = replace(MAPS, slabs=[replace(along_x, true=None)])
    assert [axes.get_ylabel() for axes in slab_charts(replace(ROOM, maps=unlabeled))] == ["predicted", ""]


def test_a_far_slab_costs_one_column() -> None:
    """A stray point 600 km away: its slab is drawn there, without a column for each of the empty ones between."""
    along_z = MAPS.slabs[1]
    far = replace(along_z, start=along_z.start + 6e5 * (np.arange(3) == 2), true=None)
    chart, *_ = slab_charts(replace(ROOM, maps=replace(MAPS, slabs=[far])))
    tops, edges = edges_of(chart)[0]
    np.testing.assert_allclose(tops, [1, 1, 0, 1], rtol=1e-5)
    np.testing.assert_allclose(edges, [0, 2.8 / 3, 5.6 / 3, 6e5 + 5.6 / 3, 6e5 + 2.8], atol=0.5)


def test_rows_of_an_image_count_downwards() -> None:
    rows = replace(MAPS.slabs[1], axis=1, name="rows", unit="pixels")
    chart, *_ = slab_charts(replace(ROOM, pixels=(40, 100), maps=replace(MAPS, slabs=[rows])))
    assert chart.get_ylim() == (pytest.approx(2.8), 0)
    assert chart.get_ylabel() == "rows in pixels"


def test_of_many_classes_of_slabs_the_largest_are_named() -> None:
    number = 200
    names = tuple(f"$kind {i}" for i in range(number))
    schema = LabelSchema(name="many", names=names, colors=tuple((i, 0, 0) for i in range(number)))
    shares = np.full((TOKENS, number), 1 / number)
    shares[3, 7], shares[5, 9] = 0.3, 0.001
    slabs = replace(MAPS.slabs[0], predicted=shares, true=None)
    *_, legend = slab_charts(replace(ROOM, schema=schema, maps=replace(MAPS, slabs=[slabs])))
    texts = [text.get_text() for text in legend.get_legend().get_texts()]
    assert "$kind 7" in texts
    assert texts[-1] == f"and {number - len(texts) + 1} more"


def test_ctnet_with_slabs() -> None:
    maps = replace(MAPS, similarity={}, assignment=None)
    assert list(charts(replace(ROOM, maps=maps))) == [
        "class probability of the cloud",
        "channel vector (32 channels)",
    ]


@pytest.mark.slow
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
    small = context_picture(replace(subject, maps=replace(maps, slabs=None)), size=(320, 180))
    assert small.size == (320, 180)
    assert "scan: context of the whole image, Head" in small.info["Description"]


@pytest.mark.slow
def test_charts_fill_their_page() -> None:
    page = np.asarray(context_picture(ROOM, palette="colorblind"))
    assert page.shape == (1440, 1280, 3)
    slabs = page[780:1380]
    for part in (page[60:480, :900], page[60:480, 960:], page[540:720], slabs[:, 80:620], slabs[:, 710:1080]):
        assert 0.02 < (part != 255).any(axis=-1).mean() < 0.95


def test_heads_without_context_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"Head computes no context of the whole cloud\. Use CTNet, EncNet or slab"
    ):
        context_picture(replace(ROOM, maps=replace(MAPS, channel=None, slabs=None)))
    with pytest.raises(UserError, match="Pass --ckpt"):
        context_picture(replace(ROOM, maps=None))
