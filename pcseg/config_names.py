"""Configurations by name, where ``s3dis/encnet`` stands for shipped YAML files, and reading of YAML."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from pcseg.errors import UserError, reason

CONFIGS = next(
    folder
    for folder in (Path(__file__).with_name("configs"), Path(__file__).parents[1] / "configs")
    if folder.is_dir()
)
"""Shipped configurations: inside an installed package, or in the repository."""

NESTED_NULL = re.compile(r"(?<![^\0])--(\w+)\.(init_args\.[\w.]+\.init_args\.\w+)[=\0]null(?![^\0])")
"""``null`` for an option of a class inside another class, in arguments that are joined by zero bytes."""

ALONG_AXES = ("ccnet", "slab", "ctnet_slab")
"""Heads that work along axes: they bring the overlay ``axes`` of a data set, which rotates rooms along their walls."""


def config_files(name: str) -> list[Path]:
    """Return the YAML files that ``name`` stands for, each overriding the ones before it.

    An existing file stands for itself. Otherwise ``s3dis/encnet`` stands for ``s3dis/base.yaml`` and the overlay
    ``encnet`` of ``configs/s3dis``, ``configs/heads`` or ``configs/backbones``; further segments add overlays, and so
    do the heads :data:`ALONG_AXES`.

    Raises:
        UserError: No such file or configuration.
    """
    if Path(name).is_file():
        empty = [key for key, value in flat(read_yaml(Path(name))).items() if value == ""]
        if empty:
            raise UserError(f"{name}: {empty[0]} is empty. Give a value, or null for the default.")
        return [Path(name)]
    first, *overlays = name.removesuffix(".yaml").removeprefix("./").removeprefix("configs/").split("/")
    folder = CONFIGS / first
    if not folder.is_dir() or not first:
        folders = [path for path in CONFIGS.iterdir() if path.is_dir()]
        raise _no_config(name, f"not a file, and no configuration of {first!r}", folders)
    files = [path for path in [folder / "base.yaml"] if path.is_file()]
    for overlay in overlays:
        places = (folder, CONFIGS / "heads", CONFIGS / "backbones")
        found = next((path for place in places if (path := place / f"{overlay}.yaml").is_file()), None)
        if found is None:
            known = [path for place in places for path in place.glob("*.yaml")]
            raise _no_config(name, f"no configuration {overlay!r}", known)
        axes = [folder / "axes.yaml"] if overlay in ALONG_AXES else []
        files += [path for path in [found, *axes] if path not in files and path.is_file()]
    if not files:
        raise _no_config(name, "several configurations", folder.glob("*.yaml"))
    return files


def _no_config(name: str, problem: str, known: Iterable[Path]) -> UserError:
    choices = sorted({path.stem for path in known} - {"base"})
    return UserError(f"--config {name}: {problem}. Choose from {', '.join(choices)}.")


def run_name(names: Iterable[str]) -> str:
    """Return the name of the run folder for configurations: ``s3dis_encnet`` for ``s3dis/encnet``."""
    hidden = ("configs", "heads", "backbones", "base", "/", ".", "..")
    words: list[str] = []
    for name in names:
        parts = Path(name.removesuffix(".yaml")).parts
        words += [part for part in parts[-2 if Path(name).is_file() else 0 :] if part not in hidden]
    return "_".join(words)


def expand_configs(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Replace names after ``--config`` by their files and return the new arguments and the names.

    *Convention*: files come first, so that every option overrides them, wherever it was given. Nulls of classes inside
    classes become JSON of the outermost class: jsonargparse passes them on to the inner ones as the text ``None``.
    """
    files, words, names = [], [], []
    rest = iter(NESTED_NULL.sub(_as_json, "\0".join(args)).split("\0") if args else [])
    for word in rest:
        option, equals, value = word.partition("=")
        if option != "--config":
            words.append(word)
            continue
        value = value if equals else next(rest, "")
        names.append(value)
        files += [part for path in config_files(value) for part in ("--config", str(path))]
    return [*files, *words], names


def _as_json(option: re.Match[str]) -> str:
    value: Any = None
    for key in reversed(option[2].split(".")):
        value = {key: value}
    return f"--{option[1]}={json.dumps(value)}"


def differing_keys(mine: Any, theirs: Any) -> list[str]:
    """Return the dotted names of the entries in which two nested configurations differ; null equals a missing one."""
    here, there = flat(mine), flat(theirs)
    return [name for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the entries of a nested configuration by their dotted names."""
    if not isinstance(value, dict):
        return {prefix: value}
    parts = (flat(part, f"{prefix}.{key}" if prefix else str(key)) for key, part in value.items())
    return {name: leaf for part in parts for name, leaf in part.items()}


def read_yaml(path: Path) -> Any:
    """Read a YAML file with every value and key as the text that is written: ``no``, ``010`` and dates stay strings.

    Empty values, ``~`` and ``null`` are ``None`` unless they are quoted.

    Raises:
        UserError: Not YAML, a key occurs twice, or an anchor contains itself.
    """
    try:
        with path.open("rb") as stream:
            content = yaml.load(stream, _TextLoader)
        if _count_nodes(content, {}) > MOST_NODES:
            raise ValueError("its anchors repeat too many values")
        return content
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}). Check the file.") from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not YAML ({reason(error)}). Fix the syntax.") from error


MOST_NODES = 100_000
"""Number of values of a YAML file with every anchor written out."""


def _count_nodes(value: Any, known: dict[int, int]) -> int:
    """Return the number of values; raise :class:`ValueError` if a value contains itself."""
    if not isinstance(value, dict | list):
        return 1
    if known.setdefault(id(value), 0) == 0:
        known[id(value)] = -1  # while its own values are counted
        children = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count_nodes(child, known) for child in children)
    if known[id(value)] < 0:
        raise ValueError("an anchor contains itself")
    return known[id(value)]


class _TextLoader(yaml.BaseLoader):
    def construct_scalar(self, node: Any) -> Any:
        is_null = node.style is None and node.value in ("", "~", "null", "Null", "NULL")
        return None if is_null else super().construct_scalar(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                mark = node.value[position][0].start_mark
                raise UserError(f"{mark.name} line {mark.line + 1}: {key} is given twice. Keep one.")
        return super().construct_mapping(node, deep=deep)
