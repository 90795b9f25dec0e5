"""Configurations by name, where ``s3dis/encnet`` stands for shipped YAML files, and their entries."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pcseg.errors import UserError
from pcseg.files import read_yaml

CONFIGS = next(
    folder
    for folder in (Path(__file__).with_name("configs"), Path(__file__).parents[1] / "configs")
    if folder.is_dir()
)
"""Shipped configurations: inside an installed package, or in the repository."""


def config_files(name: str) -> list[Path]:
    """Return the YAML files that ``name`` stands for, each overriding the ones before it.

    An existing file stands for itself. Otherwise ``s3dis/encnet`` stands for ``s3dis/base.yaml`` and the overlay
    ``encnet`` of ``configs/s3dis``, ``configs/heads`` or ``configs/backbones``; further segments add overlays.

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
        files += [found] if found not in files else []
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
    """Replace names after ``--config`` by their files and return the new arguments and the names."""
    words, names = [], []
    rest = iter(args)
    for word in rest:
        option, equals, value = word.partition("=")
        if option != "--config":
            words.append(word)
            continue
        value = value if equals else next(rest, "")
        names.append(value)
        words += [part for path in config_files(value) for part in ("--config", str(path))]
    return words, names


def differing_keys(mine: Any, theirs: Any, prefix: str = "") -> list[str]:
    """Return the dotted names of the entries in which two nested configurations differ."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        keys = sorted(mine.keys() | theirs.keys())
        return [
            name
            for key in keys
            for name in differing_keys(mine.get(key), theirs.get(key), f"{prefix}.{key}" if prefix else key)
        ]
    return [] if mine == theirs else [prefix]


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the entries of a nested configuration by their dotted names."""
    if not isinstance(value, dict):
        return {prefix: value}
    parts = (flat(part, f"{prefix}.{key}" if prefix else str(key)) for key, part in value.items())
    return {name: leaf for part in parts for name, leaf in part.items()}
