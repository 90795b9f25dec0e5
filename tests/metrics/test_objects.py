"""Objects found, mixed and lost, counted by hand."""

import numpy as np
import pytest

from pcseg.metrics.objects import contrast_to, count_objects, describe_class, joined

LABEL = np.array([0] * 10 + [1] * 10 + [1] * 10 + [1] * 10 + [2] * 3 + [-1] * 5)
INSTANCE = np.array([5] * 10 + [5] * 10 + [6] * 10 + [7] * 10 + [8] * 3 + [9] * 5)
PRED = np.array([0] * 10 + [1] * 9 + [0] + [1] * 5 + [0] * 5 + [2] * 6 + [0] * 3 + [1] + [2] * 3 + [0] * 5)


def test_objects_are_of_one_class_and_large_enough() -> None:
    counts = count_objects(PRED, LABEL, INSTANCE, num_classes=3, min_points=4)
    assert list(zip(counts.instance, counts.label)) == [(5, 0), (5, 1), (6, 1), (7, 1)]
    assert counts.predicted.tolist() == [[10, 0, 0], [1, 9, 0], [5, 5, 0], [3, 1, 6]]
    np.testing.assert_allclose(counts.right, [1, 0.9, 0.5, 0.1])


def test_a_class_in_numbers() -> None:
    counts = count_objects(PRED, LABEL, INSTANCE, num_classes=3, min_points=4)
    found = describe_class(counts, 1)
    assert (found.objects, found.found, found.mixed, found.lost) == (3, 1, 1, 1)
    assert (found.missed_found, found.missed_mixed, found.missed_lost) == pytest.approx(
        (1 / 15, 5 / 15, 9 / 15)
    )
    assert found.taken_for == {2: 1}
    nothing = describe_class(counts, 2)
    assert (nothing.objects, nothing.missed_lost, nothing.taken_for) == (0, 0.0, {})
    twice = describe_class(joined([counts, counts]), 1)
    assert (twice.objects, twice.missed_lost) == (6, pytest.approx(9 / 15))


def test_contrast_is_that_to_the_class_around() -> None:
    pos = np.zeros((48, 3))
    pos[10:20, 0], pos[20:30, 0], pos[30:40, 0] = 0.3, 0.1, 9.0
    color = np.full((48, 3), 100)
    color[10:20, 1] = 130
    contrast = contrast_to(0, pos, color, LABEL, INSTANCE, num_classes=3, reach=0.4)
    # objects in order: wall itself, 0.3 m away and greener, 0.1 m away and alike, nothing around, alike
    np.testing.assert_allclose(contrast, [np.nan, 30, 0, np.nan, 0])
    counts = count_objects(PRED, LABEL, INSTANCE, num_classes=3, min_points=4, contrast=contrast)
    np.testing.assert_allclose(counts.contrast, [np.nan, 30, 0, np.nan])
