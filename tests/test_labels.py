"""Label schemas: the published classes of the data sets."""

import hashlib

import numpy as np
import pytest

from pcseg.data.images.readers import IMAGE_READERS
from pcseg.data.schemas import (
    NYU40,
    SCANNET20,
    SCANNET20_BENCHMARK,
    SCANNET200,
    SCANNET200_BENCHMARK,
    SCANNET200_GROUPS,
    benchmark_of,
    class_groups,
)
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX, S3DIS, LabelSchema

SCHEMAS = (S3DIS, NYU40, SCANNET20, SCANNET200)


def test_the_classes_of_the_benchmarks() -> None:
    assert len(NYU40.names) == 40
    assert [NYU40.names[i - 1] for i in (1, 5, 16, 22, 24, 28, 36, 39, 40)] == [
        "wall", "chair", "curtain", "ceiling", "refrigerator", "shower curtain", "bathtub", "otherfurniture",
        "otherprop",
    ]  # fmt: skip
    assert SCANNET20.num_classes == 20
    assert SCANNET20_BENCHMARK.ids == (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)
    assert SCANNET20.colors[0] == (174, 199, 232)
    ids = dict(zip(SCANNET200.names, SCANNET200_BENCHMARK.ids))
    assert len(ids) == len(set(ids.values())) == 200
    assert [ids[name] for name in ("wall", "couch", "object", "mattress")] == [1, 6, 1163, 1191]
    assert SCANNET200_BENCHMARK.ids == tuple(sorted(ids.values()))
    train_only = {"bicycle", "storage container", "candle", "guitar case", "purse", "alarm clock", "music stand",
                  "cd case", "structure", "storage organizer", "luggage"}  # fmt: skip
    assert {ids[name] for name in train_only} == {
        121, 221, 286, 331, 399, 572, 581, 1174, 1178, 1183, 1190
    }  # fmt: skip
    assert {group: len(names) for group, names in SCANNET200_GROUPS.items()} == {
        "head": 66,
        "common": 68,
        "tail": 66,
    }
    assert {name for names in SCANNET200_GROUPS.values() for name in names} == set(SCANNET200.names)
    hashes = {  # of the sorted names in BenchmarkScripts/ScanNet200/scannet200_splits.py, one per line
        group: hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]
        for group, names in SCANNET200_GROUPS.items()
    }
    assert hashes == {"head": "ad4f4662dd7a227f", "common": "935107b0e75b0d51", "tail": "8cd92338ab4fdbd8"}


def test_only_scannet200_has_class_groups() -> None:
    groups = class_groups(SCANNET200.names)
    assert sorted(k for labels in groups.values() for k in labels) == list(range(200))
    assert [SCANNET200.names[groups[name][0]] for name in ("head", "common", "tail")] == [
        "wall", "cushion", "paper",
    ]  # fmt: skip
    assert not any(class_groups(schema.names) for schema in SCHEMAS if schema is not SCANNET200)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_schemas_round_trip_through_json(schema: LabelSchema) -> None:
    assert LabelSchema.from_json(schema.to_json()) == schema


def test_schemas_with_the_same_classes_in_another_order_differ() -> None:
    other = LabelSchema(name="other", names=S3DIS.names[::-1], colors=S3DIS.colors)
    with pytest.raises(UserError, match=r"data has \['ceiling'.*checkpoint has \['clutter'"):
        S3DIS.require_same(other, this="data", that="checkpoint")


def test_colors_of_voc_classes() -> None:
    """Bits 0, 3, 6 ... of a label are red, 1, 4, 7 ... green, the others blue."""
    schemas = [IMAGE_READERS[name].schema for name in ("voc", "pascal_context_60", "ade20k")]
    for schema, first in zip(schemas, (0, 0, 1)):
        for label, color in enumerate(schema.colors, first):
            bits = [int(f"{label:024b}"[::-1][channel::3], 2) for channel in range(3)]
            assert color == tuple(bits), (schema.name, label)
    assert schemas[0].colors[:4] == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))


@pytest.mark.parametrize("benchmark", [SCANNET20_BENCHMARK, SCANNET200_BENCHMARK], ids=["20", "200"])
def test_labels_of_the_ids_of_a_benchmark(benchmark) -> None:
    label = np.arange(benchmark.schema.num_classes)
    assert benchmark.to_labels(np.array(benchmark.ids)).tolist() == label.tolist()
    assert benchmark.to_labels(np.array([0, 13_000, 20])).tolist() == [IGNORE_INDEX] * 3


def test_a_benchmark_is_found_by_its_classes() -> None:
    assert benchmark_of(SCANNET20, source="model") is SCANNET20_BENCHMARK
    with pytest.raises(
        UserError, match=r"model: not the classes of a ScanNet benchmark.*'clutter'.*'otherfurniture'"
    ):
        benchmark_of(S3DIS, source="model")
