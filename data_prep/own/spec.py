"""Read the description of your own data: a YAML file for a folder of labeled clouds."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np

from pcseg.config_names import read_yaml
from pcseg.data.alignment import Units, Up
from pcseg.data.io.columns import AXES, INSTANCE_NAMES, Columns, label_columns, normalize_name, parse_names
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX, LabelSchema, distinct_colors, is_file_name

FIELDS = ("pos", "color", "normal", "label", "instance")


@dataclass(frozen=True, kw_only=True)
class FolderSpec:
    """The content of the description ``path`` of the clouds in ``root``.

    Args:
        values: Number of each class of ``schema`` in the files.
        ignore: Numbers of points without a class.
        split: Patterns of file names, relative to ``root``, of every split; ``None``: the first folder.
        columns, units, up: As in :func:`pcseg.read_cloud` and :func:`~pcseg.data.alignment.find_frame`.
        fields: Columns of the files by our name: one, or three for ``pos``, ``color`` and ``normal``.
    """

    path: Path
    root: Path
    name: str
    schema: LabelSchema
    values: tuple[int, ...]
    ignore: tuple[int, ...] = ()
    split: dict[str, tuple[str, ...]] | None = None
    columns: str | None = None
    fields: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    units: Units = "auto"
    up: Up = "auto"

    def fingerprint(self) -> str:
        """Return the settings that prepared scenes depend on besides the files."""
        fields = sorted(self.fields.items())
        schema = self.schema.to_json()
        return json.dumps((schema, self.values, self.ignore, self.columns, fields, self.units, self.up))

    def label_table(self, label: np.ndarray, *, source: Path) -> np.ndarray:
        """Return the classes ``(N,)`` int16 of the numbers or names in a file; NaN is unlabeled.

        Raises:
            UserError: A number that is neither a class nor ignored, or not an integer.
        """
        if label.dtype.kind in "SUO":
            return self._from_words(label, source=source)
        label = np.where(np.isnan(label), IGNORE_INDEX, label) if label.dtype.kind == "f" else label
        present, inverse, counts = np.unique(label, return_inverse=True, return_counts=True)
        known = dict(zip(self.values, range(len(self.values)))) | dict.fromkeys(self.ignore, IGNORE_INDEX)
        known |= {IGNORE_INDEX: known.get(IGNORE_INDEX, IGNORE_INDEX)}
        unknown = [
            pair for pair in zip(present.tolist(), counts.tolist()) if pair[0] not in known
        ]  # 3.0 is 3
        if unknown:
            some = ", ".join(f"{value:g} ({count:,} points)" for value, count in unknown[:5])
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            raise UserError(
                f"{source}: label {some}{more} is not a class of {self.path}. Add it to names or ignore."
            )
        return np.array([known[value] for value in present.tolist()], dtype=np.int16)[inverse.reshape(-1)]

    def _from_words(self, label: np.ndarray, *, source: Path) -> np.ndarray:
        """Return the classes of names or numbers that are written as words; an empty word is unlabeled."""
        words, inverse = np.unique(label.astype(str), return_inverse=True)
        known = {str(value): value for value in (*self.values, *self.ignore, IGNORE_INDEX)}
        known |= {name.casefold(): value for name, value in zip(self.schema.names, self.values)}
        known |= dict.fromkeys(("", "nan", "none"), IGNORE_INDEX) | known
        folded = [word.strip().casefold() for word in words.tolist()]
        unknown = [word for word in folded if word not in known]
        if unknown:
            raise UserError(
                f"{source}: label {', '.join(unknown[:5])} is not a class of {self.path}. Add it to names or ignore."
            )
        return self.label_table(
            np.array([known[word] for word in folded])[inverse.reshape(-1)], source=source
        )

    def renamed(self, columns: Columns, *, source: Path) -> Columns:
        """Return columns under the names that :func:`pcseg.data.io.clouds.from_table` knows, ``label``, ``instance``.

        Raises:
            UserError: A column that ``fields`` names does not exist.
        """
        new = dict(columns)
        for name, others in self.fields.items():
            given = (others,) if isinstance(others, str) else others
            if name in AXES and len(given) == 1:  # an array (N, 3) of .npz and HDF5 files
                given = tuple(f"{given[0]}.{axis}" for axis in range(3))
            targets = AXES[name] if len(given) == 3 else (name,)
            for target, other in zip(targets, given):
                if normalize_name(other) not in columns:
                    raise UserError(
                        f"{source}: no column {other!r} (columns: {', '.join(columns)}). Correct fields.{name} in "
                        f"{self.path}."
                    )
                new[target] = columns[normalize_name(other)]
        objects = [name for name in INSTANCE_NAMES if name in columns]
        for name, guesses in (("label", label_columns(columns)), ("instance", objects)):
            if guesses and name not in self.fields:
                new[name] = columns[guesses[0]]
        return new


def read_spec(path: Path) -> FolderSpec:
    """Read a description.

    Raises:
        UserError: No such file, not YAML, an unknown key, or an invalid value.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file. Write a description as in docs/own_data.md.")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no keys. See docs/own_data.md.")
    known = {"name", "root", "split", "names", "colors", "ignore", "columns", "fields", "units", "up"}
    unknown = [str(key) for key in content if key not in known]
    if unknown:
        raise UserError(f"{path}: key {unknown[0]!r} is unknown. Choose from {', '.join(sorted(known))}.")
    for key in ("root", "names"):
        if not content.get(key):
            raise UserError(f"{path}: key {key!r} is missing. Add it.")
    content = {key: value for key, value in content.items() if value is not None}
    root = (path.parent / str(content["root"])).resolve()
    if not root.is_dir():
        raise UserError(f"{path}: root {root} is not a directory. Correct it.")
    name = str(content.get("name", path.stem))
    if not is_file_name(name):
        raise UserError(f"{path}: name: {name[:40]!r} is not a name. Use one line without slashes.")
    names, values = _names(content["names"], path)
    colors = _colors(content.get("colors"), names, path)
    ignore = content.get("ignore", [])
    ignored = [
        _integer(value, "ignore", path) for value in (ignore if isinstance(ignore, list) else [ignore])
    ]
    both = sorted(set(ignored) & set(values))
    if both:
        raise UserError(f"{path}: {both[0]} is both in names and in ignore. Remove one of them.")
    return FolderSpec(
        path=path,
        root=root,
        name=name,
        schema=LabelSchema(name=name, names=names, colors=colors),
        values=values,
        ignore=tuple(ignored),
        split=_split(content.get("split"), path),
        columns=_columns(content.get("columns"), path),
        fields=_fields(content.get("fields", {}), path),
        units=_choice(content.get("units", "auto"), "units", Units, path),
        up=_choice(content.get("up", "auto"), "up", Up, path),
    )


def _names(given: Any, path: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return class names and the number of each in the files."""
    if isinstance(given, list):
        pairs = list(enumerate(given))
    elif isinstance(given, dict):
        pairs = [(_integer(value, "names", path), name) for value, name in given.items()]
    else:
        raise UserError(
            f"{path}: names are invalid. Give a list of class names or a map from numbers to names."
        )
    names = tuple(name for _, name in pairs)
    numbers = [number for number, _ in pairs]
    if not all(isinstance(name, str) and name.strip() and name.isprintable() for name in names):
        raise UserError(
            f'{path}: names: a name is empty or has several lines. Put names such as "~" or "null" in quotes.'
        )
    twice = [number for position, number in enumerate(numbers) if number in numbers[:position]]
    if twice:
        raise UserError(f"{path}: names: {twice[0]} is given twice. Give each number one name.")
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError(f"{path}: names are {list(names)}. Give two or more different classes.")
    return names, tuple(numbers)


def _colors(given: Any, names: tuple[str, ...], path: Path) -> tuple[tuple[int, int, int], ...]:
    if given is None:
        return distinct_colors(len(names))
    rows = list(given.values()) if isinstance(given, dict) and list(given) == list(names) else given
    try:
        table = np.array(rows).astype(np.int64)
    except (ValueError, TypeError):  # no numbers, or rows that differ in length
        table = np.empty(0)
    if table.shape != (len(names), 3) or table.min() < 0 or table.max() > 255:
        raise UserError(
            f"{path}: colors are invalid. Give one [r, g, b] in 0..255 per name ({len(names)}), in order."
        )
    return tuple((int(row[0]), int(row[1]), int(row[2])) for row in table)


def _split(given: Any, path: Path) -> dict[str, tuple[str, ...]] | None:
    if given is None:
        return None
    if not isinstance(given, dict) or not given:
        raise UserError(
            f"{path}: split is invalid. Map split names to file patterns, such as train: ['train/*.ply']."
        )
    patterns = {
        str(key or ""): (value,) if isinstance(value, str) else tuple(value or ())
        for key, value in given.items()
    }
    for name, values in patterns.items():
        if not all(isinstance(value, str) and value and not value.startswith("/") for value in values):
            raise UserError(f"{path}: split {name!r}: invalid pattern. Use strings relative to root.")
        if not is_file_name(name) or name.startswith("."):
            raise UserError(f"{path}: split {name!r}: invalid name. Use the name of a folder.")
    return patterns


def _columns(given: Any, path: Path) -> str | None:
    if given is None:
        return None
    text = ",".join(map(str, given)) if isinstance(given, list) else str(given)
    parse_names(text, where=f"{path}: columns")
    return text


def _fields(given: Any, path: Path) -> dict[str, str | tuple[str, ...]]:
    if not isinstance(given, dict):
        raise UserError(f"{path}: fields are invalid. Map {', '.join(FIELDS)} to columns of the files.")
    fields: dict[str, str | tuple[str, ...]] = {}
    for name, columns in given.items():
        if name not in FIELDS:
            raise UserError(f"{path}: fields.{name} is unknown. Choose from {', '.join(FIELDS)}.")
        three = isinstance(columns, list) and len(columns) == 3 and name in AXES
        if not three and not isinstance(columns, str):
            what = "three columns, or an array of .npz and HDF5 files" if name in AXES else "one column"
            raise UserError(f"{path}: fields.{name} is invalid. Give {what}.")
        fields[name] = tuple(map(str, columns)) if three else str(columns)
    return fields


def _integer(value: Any, key: str, path: Path) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"[-+]?(0|[1-9]\d*)", value):  # 010 is 8 or 10
        raise UserError(f"{path}: {key}: {value!r} is not an integer such as 10. Correct it.")
    if len(value) > 18:
        raise UserError(f"{path}: {key}: {value[:20]}… is out of range. Use at most 18 digits.")
    return int(value)


def _choice(value: Any, key: str, kind: Any, path: Path) -> Any:
    if value not in get_args(kind):
        raise UserError(f"{path}: {key}: {value!r} is unknown. Choose from {', '.join(get_args(kind))}.")
    return value
