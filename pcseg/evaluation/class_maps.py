"""Classes of labeled files and of predictions in one label set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from pcseg.config_names import read_yaml
from pcseg.data.indoor import INDOOR, LABEL_SETS, Classes, from_indoor, label_set
from pcseg.data.io.columns import normalize_name
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX, LabelSchema

NO_CLASS = ("", "nan", "none", str(IGNORE_INDEX))
"""Labels of points without a class, unless a map names them."""

SHOWN = 5
"""Number of unknown labels that a message lists."""


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """What the labels of files mean.

    Args:
        names: Class of every label by its text; ``None`` for points without a class.
        source: Where the map is from, for messages.
        column: Column of the labels; ``None``: one that is named like labels.
    """

    names: Mapping[str, str | None]
    source: str
    column: str | None = None


def class_numbers(names: Sequence[str], target: LabelSchema, *, source: str) -> np.ndarray:
    """Return the class in ``target`` of each name, and of points without a class in the last row (index -1), int16.

    A name is a class of ``target``, or an indoor class if ``target`` is a label set of these. Case does not matter
    unless names differ in nothing else.

    Raises:
        UserError: An unknown class; ``source`` names where it is from.
    """
    known = dict(zip(target.names, range(target.num_classes)))
    for name, schema in LABEL_SETS.items():
        if schema.names == target.names:
            known = dict(zip(INDOOR.names, from_indoor(name).tolist())) | known
    known = {name.casefold(): number for name, number in known.items()} | known
    numbers = [known.get(name, known.get(name.casefold())) for name in names]
    unknown = [name for name, number in zip(names, numbers) if number is None]
    if unknown:
        raise UserError(
            f"{source}: {', '.join(map(repr, unknown[:SHOWN]))} is not a class of {target.name} "
            f"({', '.join(target.names[:20])}). Map it with --labels FILE, or choose other --classes."
        )
    return np.array([*numbers, IGNORE_INDEX], np.int16)


def read_label_map(labels: str) -> LabelMap:
    """Read what the labels of files mean.

    Args:
        labels: A label set, whose numbers and names are the labels; or a YAML file: a list of classes, a map from
            labels to classes, or a description of your own data (``names``, ``ignore`` and ``fields.label``).

    Raises:
        UserError: Neither a label set nor a readable map.
    """
    if labels in get_args(Classes):
        classes = LABEL_SETS[label_set(labels)].names  # type: ignore[arg-type]
        numbers = {str(number): name for number, name in enumerate(classes)}
        return LabelMap(names=numbers | dict(zip(classes, classes)), source=f"--labels {labels}")
    path = Path(labels)
    if not path.is_file():
        raise UserError(
            f"--labels {labels}: not a file and not one of {', '.join(get_args(Classes))}. Write a YAML file with a "
            "line such as `7: chair` for every label."
        )
    content, ignored, column = read_yaml(path), [], None
    if isinstance(content, dict) and isinstance(content.get("names"), list | dict):
        ignored, fields = content.get("ignore") or [], content.get("fields")
        column = fields.get("label") if isinstance(fields, dict) else None
        content = content["names"]
    entries = dict(enumerate(content)) if isinstance(content, list) else content
    if not isinstance(entries, dict) or not all(isinstance(name, str | None) for name in entries.values()):
        raise UserError(f"{path}: not a map of labels. Write a line such as `7: chair` for every label.")
    names = dict.fromkeys(map(str, ignored if isinstance(ignored, list) else [ignored]))
    names |= {str(label): name or None for label, name in entries.items()}
    return LabelMap(
        names=names, source=str(path), column=None if column is None else normalize_name(str(column))
    )


def map_labels(label: np.ndarray, given: LabelMap | None, target: LabelSchema, *, source: Path) -> np.ndarray:
    """Return the classes ``(N,)`` int16 in ``target`` of the labels of a file.

    Args:
        label: Numbers or words; NaN, empty words and -1 are points without a class.
        given: What the labels mean; ``None``: words are classes.

    Raises:
        UserError: Numbers without a map, or an unknown label or class.
    """
    present, inverse, counts = np.unique(label, return_inverse=True, return_counts=True)
    numbers = present.dtype.kind not in "SUO"
    words = [f"{value:.15g}" if numbers else str(value).strip() for value in present.tolist()]
    if given is None:
        if numbers:
            raise UserError(
                f"{source}: its labels are numbers ({', '.join(words[:SHOWN])}) without names. Pass --labels with a "
                "YAML file that maps them to classes, or with the label set that they number."
            )
        given = LabelMap(names={w: w for w in words if w.casefold() not in NO_CLASS}, source=str(source))
    classes = {**dict.fromkeys(NO_CLASS), **given.names}
    keys = [word if word in classes else word.casefold() for word in words]
    unknown = [
        f"{word} ({n:,} points)" for word, key, n in zip(words, keys, counts.tolist()) if key not in classes
    ]
    if unknown:
        raise UserError(
            f"{source}: label {', '.join(unknown[:SHOWN])} is not in {given.source}. Map it to a class, or to ~ for no "
            "class."
        )
    names = [name for name in dict.fromkeys(classes.values()) if name is not None]
    number = dict(zip([*names, None], class_numbers(names, target, source=given.source).tolist()))
    return np.array([number[classes[key]] for key in keys], np.int16)[inverse.reshape(-1)]
