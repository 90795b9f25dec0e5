"""Shared by raw releases: wrong folders, generated folders, and fingerprints of files."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from data_prep.outputs import broken_link, is_output, left_out
from pcseg.errors import UserError


def is_generated(raw: Path) -> bool:
    """Return whether ``data_prep.rooms`` made the folder; it writes rooms.json there."""
    return (raw / "rooms.json").is_file()


def require_folder(raw: Path, layout: str) -> None:
    """Raise :class:`UserError` unless ``raw`` is a folder; ``layout`` shows what is expected."""
    if not raw.is_dir():
        what = "is a file. Unpack it" if raw.is_file() else "no such folder. Check the path"
        raise UserError(f"{raw}: {what}, and pass the unpacked release. {layout}")


def input_folders(paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Return the folders among ``paths``, sorted, without those that pcseg wrote, and a remark about each of these.

    Raises:
        UserError: A broken link.
    """
    folders, remarks = [], []
    for path in sorted(paths):
        if not path.exists() and not path.suffix:
            raise broken_link(path)
        if path.is_dir() and is_output(path):
            remarks.append(left_out(path))
        elif path.is_dir():
            folders.append(path)
    return folders, remarks


def require_single(folders: Iterable[Path]) -> None:
    """Raise :class:`UserError` if two of the folders are one, through links."""
    names: dict[Path, Path] = {}
    for folder in folders:
        first = names.setdefault(folder.resolve(), folder)
        if first != folder:
            raise UserError(f"{folder}: the same folder as {first}. Remove one of the links.")


def better_folder(raw: Path, is_release: Callable[[Path], bool], layout: str) -> str:
    """Return advice for a folder that is not a release: a folder nearby may be one, or there is an archive."""
    for folder in list(raw.resolve().parents)[:3]:
        if is_release(folder):
            return f"It is inside a release. Pass {folder}."
    for folder in sorted(path for path in raw.iterdir() if path.is_dir()):
        if is_release(folder):
            return f"Pass {folder}."
    archives = sorted(path.name for path in raw.iterdir() if path.suffix in {".zip", ".gz", ".tar", ".7z"})
    return f"Unpack {archives[0]} and pass the resulting folder." if archives else layout


def fingerprint(options: str, files: Sequence[Path]) -> tuple[str, int]:
    """Return the fingerprint of a scene's files and options, and the size of the files in bytes.

    Convention:
        The fingerprint depends on names, sizes and modification times: hashing ten gigabytes of text would take
        as long as reading them. A copy of the release with new times is prepared again.
    """
    stats = [(file.name, file.stat()) for file in files]
    lines = [options, *(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)]
    source = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    return source, sum(stat.st_size for _, stat in stats)


def names_of(given: Sequence[str] | str) -> list[str]:
    """Split names from the command line, given as a list or separated by commas."""
    return [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)
