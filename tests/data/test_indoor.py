"""The indoor taxonomy maps onto every label set, and reaches all of their classes."""

import csv
from pathlib import Path

import pytest

import pcseg.data
from pcseg.data.indoor import COARSE, INDOOR, LABEL_SETS, LabelSet, from_indoor
from pcseg.labels import IGNORE_INDEX

CSV = Path(pcseg.data.__file__).with_name("indoor.csv")


@pytest.mark.parametrize("name", LABEL_SETS)
def test_maps_are_those_of_the_file(name: LabelSet) -> None:
    table, names = from_indoor(name), LABEL_SETS[name].names
    column = "name" if name == "indoor" else name
    with CSV.open(newline="") as file:
        for row in csv.DictReader(file):
            label = table[INDOOR.names.index(row["name"])]
            assert (names[label] if label >= 0 else "") == row[column]
    assert table[IGNORE_INDEX] == IGNORE_INDEX
    reached = set(table.tolist()) - {IGNORE_INDEX}
    assert reached == set(range(len(names)))


def test_names_and_colors_are_distinct() -> None:
    for schema in (INDOOR, COARSE):
        assert len(set(schema.colors)) == schema.num_classes


def test_coarse_classes_follow_from_those_of_s3dis() -> None:
    """Structure, tables and seats mean the same in both sets, so that scores can be compared."""
    pairs = {
        (LABEL_SETS["s3dis"].names[s], COARSE.names[c])
        for s, c in zip(from_indoor("s3dis")[:-1], from_indoor("coarse")[:-1])
    }
    coarse = {fine: {c for f, c in pairs if f == fine} for fine, _ in pairs}
    assert all(len(groups) == 1 for fine, groups in coarse.items() if fine != "clutter")
