"""Find the files of your own data and the split of each."""

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from data_prep.outputs import broken_link, is_output, left_out
from data_prep.own.spec import FolderSpec
from pcseg.data.io.clouds import CLOUD_READERS
from pcseg.errors import UserError, reason

MOST_NAMES = 8
"""Number of names under which one folder is searched, so that links in circles end."""


def find_clouds(spec: FolderSpec) -> tuple[dict[Path, str], list[str]]:
    """Return the files of a data set with the split of each, sorted, and remarks about files that are left out.

    Links are followed. A file with several names in one split is taken once. Prepared scenes, runs, evaluations and
    predictions are left out.

    Raises:
        UserError: There are no files, a link is broken, a file is in two splits, or a split is empty.
    """
    files, outputs = walk(spec.root)
    remarks = [left_out(path) for path in outputs]
    if not files:
        found = f" of your own, only output of pcseg such as {outputs[0]}" if outputs else ""
        raise UserError(f"{spec.root}: holds no clouds{found}. Provide files of {', '.join(CLOUD_READERS)}.")
    splits = _first_folders(spec, files) if spec.split is None else _matching(spec, files)
    names: dict[Path, Path] = {}
    for file in sorted(splits, key=lambda file: (file.resolve() != file, file)):  # links last
        first = names.setdefault(file.resolve(), file)
        if splits[first] != splits[file]:
            raise UserError(
                f"{spec.path}: {first} in {splits[first]!r} and {file} in {splits[file]!r} are the same file. "
                "Remove one, or assign files with 'split'."
            )
        if first != file:
            remarks.append(f"{file}: another name of {first}, taken once")
            del splits[file]
    return dict(sorted(splits.items())), remarks


def walk(root: Path) -> tuple[list[Path], list[Path]]:
    """Return all clouds under a folder, and the folders and files that pcseg wrote; hidden ones are left out.

    Raises:
        UserError: A broken link, or a folder that cannot be read.
    """
    files: list[Path] = []
    outputs: list[Path] = []
    visits: Counter[Path] = Counter()
    todo: list[tuple[Path, frozenset[Path]]] = [(root, frozenset())]
    while todo:
        folder, above = todo.pop()
        real = folder.resolve()
        visits[real] += 1
        if real in above or visits[real] > MOST_NAMES:
            continue
        try:
            inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        except OSError as error:
            raise UserError(f"{folder}: cannot be read ({reason(error)}). Check its permissions.") from error
        for path in inside:
            is_folder = path.is_dir()
            is_cloud = path.suffix.lower() in CLOUD_READERS
            if not path.exists() and (is_cloud or not path.suffix):
                raise broken_link(path)
            if (is_folder or is_cloud) and is_output(path):
                outputs.append(path)
            elif is_folder:
                todo.append((path, above | {real}))
            elif is_cloud and path.is_file():
                files.append(path)
    return sorted(files), sorted(outputs)


def scene_name(spec: FolderSpec, file: Path) -> str:
    """Return the scene name of a file: its path under the root without the suffix, folders joined by ``_``."""
    parts = file.relative_to(spec.root).with_suffix("").parts
    return "_".join(parts[1:] if spec.split is None else parts)


def _first_folders(spec: FolderSpec, files: Sequence[Path]) -> dict[Path, str]:
    flat = [file for file in files if file.parent == spec.root]
    if flat:
        raise UserError(
            f"{spec.path}: {flat[0].name} is not in a subfolder of {spec.root}. Assign files with 'split'."
        )
    return {file: file.relative_to(spec.root).parts[0] for file in files}


def _matching(spec: FolderSpec, files: Sequence[Path]) -> dict[Path, str]:
    found: dict[Path, str] = {}
    for split, patterns in (spec.split or {}).items():
        matching = [
            file
            for file in files
            if any(
                matches(file.relative_to(spec.root).parts, PurePosixPath(pattern).parts)
                for pattern in patterns
            )
        ]
        if not matching:
            raise UserError(
                f"{spec.path}: split {split!r}: no file in {spec.root} matches {', '.join(patterns)}. Correct it."
            )
        for file in matching:
            if file in found:
                raise UserError(
                    f"{spec.path}: {file.relative_to(spec.root)} is in {found[file]!r} and {split!r}. Keep one."
                )
            found[file] = split
    return found


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern; ``**`` stands for any number of folders.

    Convention:
        As ``Path.glob``, which follows no links in ``**``. A part also matches itself, such as ``room[1].ply``.
    """
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(matches(parts[skip:], pattern[1:]) for skip in range(len(parts) + 1))
    if not parts or not (parts[0] == pattern[0] or fnmatchcase(parts[0], pattern[0])):
        return False
    return matches(parts[1:], pattern[1:])
