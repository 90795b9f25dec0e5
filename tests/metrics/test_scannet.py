"""The benchmark's evaluator; equality with the official script is in tests/parity."""

import numpy as np
import pytest

from pcseg.metrics.scannet import matrix_of_ids, places, printed_table, result_file


def test_ids_that_are_not_valid() -> None:
    """An unknown true id is skipped; an unknown prediction misses a class and is nobody's false positive."""
    matrix = matrix_of_ids([np.array([1, 3, 99, 3])], [np.array([1, 1, 3, 40])], valid=[1, 3])
    assert matrix.counts.tolist() == [[1, 1, 0], [0, 0, 1]]
    assert matrix.iou().tolist() == [0.5, 0.0]


def test_ids_in_any_order_and_size() -> None:
    valid = [1191, 2, 70]
    ids = np.array([70, 2, 0, 1191, 5000, 71], dtype=np.uint16)
    assert places(ids, valid).tolist() == [2, 1, -1, 0, -1, -1]


def test_scans_that_differ_in_number_or_size_are_refused() -> None:
    with pytest.raises(ValueError):
        matrix_of_ids([np.zeros(2, int)], [], valid=[1])
    with pytest.raises(IndexError):
        matrix_of_ids([np.array([1, 1])], [np.array([1, 1, 1])], valid=[1])


def test_a_class_without_a_score_is_written() -> None:
    matrix = matrix_of_ids([np.array([1])], [np.array([1])], valid=[1, 3])
    assert "chair         (3 ):   nan" in result_file(matrix, ["wall", "chair"], [1, 3])
    assert "wall          : 1.000   (     1/1     )" in printed_table(matrix, ["wall", "chair"])
