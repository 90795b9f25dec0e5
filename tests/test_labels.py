"""Label schemas: the published classes of the data sets, and remapping by name."""

import hashlib

import numpy as np
import pytest

from pcseg.data.schemas import (
    NYU40,
    S3DIS_ALTERNATIVE,
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

SCHEMAS = (S3DIS, S3DIS_ALTERNATIVE, NYU40, SCANNET20, SCANNET200)


def test_the_two_orders_of_s3dis_differ_in_four_classes() -> None:
    swapped = [k for k, (a, b) in enumerate(zip(S3DIS.names, S3DIS_ALTERNATIVE.names)) if a != b]
    assert swapped == [7, 8, 9, 10]
    assert S3DIS_ALTERNATIVE.names[7:11] == ("chair", "table", "bookcase", "sofa")
    assert dict(zip(S3DIS.names, S3DIS.colors)) == dict(
        zip(S3DIS_ALTERNATIVE.names, S3DIS_ALTERNATIVE.colors)
    )


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


def test_relabeling_is_by_name() -> None:
    label = np.array([7, 8, -1, 0, 12], np.int16)
    there = S3DIS_ALTERNATIVE.relabel(label, S3DIS)
    assert there.tolist() == [8, 7, -1, 0, 12]
    assert [S3DIS_ALTERNATIVE.names[k] for k in there if k >= 0] == ["table", "chair", "ceiling", "clutter"]
    np.testing.assert_array_equal(S3DIS.relabel(there, S3DIS_ALTERNATIVE), label)
    assert SCANNET20.relabel(np.array([0, 15, -1]), NYU40).tolist() == [0, 13, -1]
    assert SCANNET20.relabel(np.array([], np.int16), NYU40).tolist() == []


def test_an_unknown_class_is_an_error_with_both_lists() -> None:
    label = np.array([NYU40.names.index("ceiling"), 0])
    with pytest.raises(
        UserError, match=r"no class 'ceiling': it has \['wall', 'floor'.*\['wall', .*'otherprop'"
    ):
        SCANNET20.relabel(label, NYU40)
    assert SCANNET20.relabel(label, NYU40, partial=True).tolist() == [IGNORE_INDEX, 0]
    with pytest.raises(UserError, match=r"data has \['ceiling'.*checkpoint has \['ceiling'"):
        S3DIS.require_same(S3DIS_ALTERNATIVE, this="data", that="checkpoint")


@pytest.mark.parametrize("benchmark", [SCANNET20_BENCHMARK, SCANNET200_BENCHMARK], ids=["20", "200"])
def test_ids_and_labels_of_a_benchmark(benchmark) -> None:
    label = np.arange(benchmark.schema.num_classes)
    ids = benchmark.to_ids(label)
    assert ids.tolist() == list(benchmark.ids)
    assert benchmark.to_labels(ids).tolist() == label.tolist()
    assert benchmark.to_labels(np.array([0, 13_000, 20])).tolist() == [IGNORE_INDEX] * 3
    with pytest.raises(UserError, match="label -1 of point 1"):
        benchmark.to_ids(np.array([0, -1]))


def test_a_benchmark_is_found_by_its_classes() -> None:
    assert benchmark_of(SCANNET20, source="model") is SCANNET20_BENCHMARK
    with pytest.raises(
        UserError, match=r"model: not the classes of a ScanNet benchmark.*'clutter'.*'otherfurniture'"
    ):
        benchmark_of(S3DIS, source="model")
