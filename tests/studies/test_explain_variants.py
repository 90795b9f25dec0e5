"""Maps of CTNet taken apart: those of the modules that are there."""

from functools import partial

import numpy as np
import pytest
import torch
from helpers.explain_models import CLOUD, make_model
from studies.ctnet_variants import ClassFeatures, CTVariantBody, Order

from pcseg.heads import CTBody, PointHead
from pcseg.views.layers.explain_points import explain_cloud
from pcseg.views.layers.head_maps import HeadMaps
from pcseg.views.render.charts import context_picture
from pcseg.views.subject import Subject

OF_CHANNELS, OF_CLASSES = {"channel", "class_prob", "frequency"}, {"affinity", "similarity"}


def explain(order: Order = "tandem", class_features: ClassFeatures = "rank_one") -> Subject:
    body = partial(CTVariantBody, width=16, key_width=8, order=order, class_features=class_features)
    head = partial(PointHead, body=body, level=0)
    torch.manual_seed(0)
    return explain_cloud(make_model(head), CLOUD)


def has(maps: HeadMaps) -> set[str]:
    found = {name for name in OF_CHANNELS | {"affinity"} if getattr(maps, name) is not None}
    return found | ({"similarity"} if maps.similarity else set())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "class_features", "expected"),
    [
        ("tandem", "rank_one", OF_CHANNELS | OF_CLASSES),
        ("tandem", "embedding", OF_CHANNELS | OF_CLASSES),
        ("tandem", "added", OF_CHANNELS | OF_CLASSES),
        ("swapped", "embedding", OF_CHANNELS | OF_CLASSES),
        ("spatial", "rank_one", OF_CHANNELS | OF_CLASSES),
        ("spatial", "embedding", OF_CLASSES),
        ("channel", "rank_one", OF_CHANNELS),
    ],
)
def test_maps_are_those_of_the_modules(
    order: Order, class_features: ClassFeatures, expected: set[str]
) -> None:
    maps = explain(order, class_features).maps
    assert has(maps) == expected
    if maps.affinity is not None:
        np.testing.assert_allclose(maps.affinity.sum(axis=1), 1, rtol=1e-5)
    if class_features != "rank_one":  # learned features point their own ways, p vᵀ all the same
        assert maps.similarity["class features"].min() < 0.9
    if maps.channel is not None:
        assert context_picture(explain(order, class_features), size=(640, 360)).size == (640, 360)


def test_as_published_the_maps_are_those_of_the_published_head() -> None:
    torch.manual_seed(0)
    head = partial(PointHead, body=partial(CTBody, width=16, key_width=8), level=0)
    published = explain_cloud(make_model(head), CLOUD).maps
    found = explain().maps
    for name in OF_CHANNELS | {"affinity", "probability"}:
        np.testing.assert_array_equal(getattr(found, name), getattr(published, name))
