"""The indoor taxonomy, read from ``indoor.csv``, and its maps onto S3DIS, ScanNet20 and nine coarse classes."""

import csv
from pathlib import Path
from typing import Literal

import numpy as np

from pcseg.data.schemas import SCANNET20, read_rows, schema_of
from pcseg.labels import IGNORE_INDEX, S3DIS, LabelSchema

Classes = Literal["s3dis", "scannet", "indoor", "coarse"]
"""Label sets by their names in options."""

LabelSet = Literal["indoor", "s3dis", "scannet20", "coarse"]
"""The label sets that every indoor label can be expressed in."""

with Path(__file__).with_name("indoor.csv").open(newline="", encoding="utf-8") as _file:
    _ROWS = list(csv.DictReader(_file))

INDOOR = schema_of("indoor", _ROWS)
"""The classes of generated buildings: fine enough to be mapped onto all other label sets."""

COARSE = schema_of("coarse", read_rows("coarse"))
"""Nine groups of indoor classes."""

LABEL_SETS: dict[LabelSet, LabelSchema] = {
    "indoor": INDOOR,
    "s3dis": S3DIS,
    "scannet20": SCANNET20,
    "coarse": COARSE,
}


def label_set(classes: Classes) -> LabelSet:
    """Return the label set of a name in options."""
    return "scannet20" if classes == "scannet" else classes


def from_indoor(name: LabelSet) -> np.ndarray:
    """Return the label in ``name`` of each indoor label, and of unlabeled points in the last row (index -1), int16.

    Convention:
        A class that the other set does not annotate, such as a ceiling in ScanNet20, maps to ``IGNORE_INDEX``.
    """
    names, column = LABEL_SETS[name].names, "name" if name == "indoor" else name
    labels = [names.index(row[column]) if row[column] else IGNORE_INDEX for row in _ROWS]
    return np.array([*labels, IGNORE_INDEX], np.int16)
