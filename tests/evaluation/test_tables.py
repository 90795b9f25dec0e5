"""Text of reports: ScanNet's result file (parity with the official script is in tests/parity) and compact JSON."""

import json

import numpy as np
import torch

from pcseg.data.schemas import Benchmark
from pcseg.evaluation.tables import compact_json, scannet_result, table
from pcseg.labels import LabelSchema
from pcseg.metrics.confusion import ConfusionMatrix

SCHEMA = LabelSchema(name="two", names=("wall", "chair"), colors=((0, 0, 0), (1, 1, 1)))


def score_ids(pred: list[int], target: list[int]) -> ConfusionMatrix:
    benchmark = Benchmark(schema=SCHEMA, ids=(1, 3), column="id")
    matrix = ConfusionMatrix(2)
    matrix.update(*(torch.from_numpy(benchmark.to_labels(np.array(ids))) for ids in (pred, target)))
    return matrix


def test_ids_outside_the_benchmark() -> None:
    """An unknown true id is skipped; an unknown prediction is a miss and a false positive of no class."""
    matrix = score_ids([1, 3, 99, 3], [1, 1, 3, 40])
    assert matrix.counts.tolist() == [[1, 1, 0], [0, 0, 1]]
    assert matrix.iou().tolist() == [0.5, 0.0]


def test_an_absent_class_is_nan_in_the_result_file() -> None:
    text = scannet_result(score_ids([1], [1]), ["wall", "chair"], [1, 3])
    assert "wall          (1 ): 1.000" in text
    assert "chair         (3 ):   nan" in text


def test_json_has_one_line_per_list_of_numbers() -> None:
    content = {
        "confusion": [[1, 2], [-3, 4]],
        "iou": [0.5, 1e-07],
        "names": ["a", "[\n 1\n]"],
        "empty": [],
        "x": None,
    }
    text = compact_json(content)
    assert json.loads(text) == content
    assert "[1, 2]" in text
    assert len(compact_json({"confusion": np.ones((200, 201), int).tolist()}).splitlines()) == 204


def test_a_markdown_table() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
