"""What raw releases have in common: folders that people mistake, generated ones, fingerprints of their files."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from pcseg.errors import UserError


def is_generated(raw: Path) -> bool:
    """Whether ``data_prep.rooms`` made the folder: it leaves a file there."""
    return (raw / "rooms.json").is_file()


def require_folder(raw: Path, layout: str) -> None:
    """Raise :class:`UserError` unless ``raw`` is a folder; ``layout`` shows what is expected."""
    if not raw.is_dir():
        what = "is a file; unpack it and give the folder" if raw.is_file() else "no such folder"
        raise UserError(f"{raw}: {what}; give the unpacked release, {layout}")


def better_folder(raw: Path, is_release: Callable[[Path], bool], layout: str) -> str:
    """What to do about a folder that is no release: one above or below it may be, or an archive lies there."""
    for folder in list(raw.resolve().parents)[:3]:
        if is_release(folder):
            return f"it lies inside a release, give {folder}"
    for folder in sorted(path for path in raw.iterdir() if path.is_dir()):
        if is_release(folder):
            return f"give {folder}"
    archives = sorted(path.name for path in raw.iterdir() if path.suffix in {".zip", ".gz", ".tar", ".7z"})
    return f"unpack {archives[0]} and give the folder it makes" if archives else layout


def fingerprint(options: str, files: Sequence[Path]) -> tuple[str, int]:
    """Fingerprint of what a scene is made of, and the size of its files in bytes.

    Convention:
        It is of names, sizes and times of change: hashing ten gigabytes of text would take as long as reading
        them again. A copy of the release with new times is prepared again.
    """
    stats = [(file.name, file.stat()) for file in files]
    lines = [options, *(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)]
    source = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    return source, sum(stat.st_size for _, stat in stats)


def names_of(given: Sequence[str] | str) -> list[str]:
    """Names from the command line, as a list or with commas between them."""
    return [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)
