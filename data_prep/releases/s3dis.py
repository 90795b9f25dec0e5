"""The raw S3DIS release on disk: areas, rooms, object files, alignment angles."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from data_prep.releases.release import (
    better_folder,
    input_folders,
    is_generated,
    require_folder,
    require_single,
)
from pcseg.errors import UserError
from pcseg.labels import S3DIS

NUM_ROOMS = {"Area_1": 44, "Area_2": 40, "Area_3": 23, "Area_4": 49, "Area_5": 68, "Area_6": 48}
"""Number of rooms per area of the release, 272 in total."""

QUIRKS = {"stairs": "clutter", "staris": "clutter"}
"""Class names of the release without a class of their own, as in the official preparation."""

UNLABELED = "unlabeled"
"""Name of no class in ``--classes``."""

LAYOUT = "Expected RAW/Area_1/office_1/Annotations/chair_1.txt."

_AREA = re.compile(r"Area_\w+")
_OBJECT = re.compile(r"([^.].*)_\d+\.txt")


@dataclass(frozen=True, kw_only=True)
class RawRoom:
    """A room of the raw release.

    Args:
        angle: Alignment angle in degrees, ``None`` for no rotation.
        classes: Class of S3DIS, or ``unlabeled``, for other names in the files.
    """

    area: str
    name: str
    folder: Path
    angle: float | None = None
    classes: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name of the room in messages."""
        return f"{self.area}/{self.name}"


def find_rooms(raw: Path, *, areas: Sequence[str] | None = None) -> tuple[list[RawRoom], list[str]]:
    """Return the rooms of a raw release, sorted by area and name, and remarks about folders that are left out.

    Raises:
        UserError: Not the folder of the areas, a requested area that is missing, an area without rooms, or a room
            with two names.
    """
    require_folder(raw, LAYOUT)
    found, remarks = input_folders(path for path in raw.iterdir() if _AREA.fullmatch(path.name))
    if not found:
        raise UserError(f"{raw}: has no folder Area_*. {better_folder(raw, _has_rooms, LAYOUT)}")
    absent = sorted(set(areas or ()) - {folder.name for folder in found})
    if absent:
        raise UserError(
            f"{raw}: has no {absent[0]}. Choose from {', '.join(folder.name for folder in found)}."
        )
    rooms = []
    for area in found:
        if areas is None or area.name in areas:
            folders, outputs = input_folders(path for path in area.iterdir() if path.name[0] != ".")
            if not folders:
                raise UserError(f"{area}: has no rooms. {LAYOUT}")
            rooms += [RawRoom(area=area.name, name=folder.name, folder=folder) for folder in folders]
            remarks += outputs
    require_single([room.folder for room in rooms])
    return rooms, remarks


def object_files(room: RawRoom) -> tuple[list[Path], list[str]]:
    """Return the sorted object files of a room, and the names of other files except those of file managers."""
    folder = room.folder / "Annotations"
    if not folder.is_dir():
        return [], []
    files = sorted(path for path in folder.iterdir() if path.is_file())
    objects = [path for path in files if _OBJECT.fullmatch(path.name)]
    others = [path.name for path in files if not _OBJECT.fullmatch(path.name)]
    return objects, [name for name in others if name[0] != "." and name != "Icon\r"]


def class_name(file: Path) -> str:
    """Return the class in the name of an object file."""
    return file.stem.rpartition("_")[0].lower()


def require_known_classes(raw: Path, rooms: Sequence[RawRoom], classes: Mapping[str, str]) -> None:
    """Raise :class:`UserError` if object files have class names that neither S3DIS nor ``classes`` has."""
    wrong = sorted(name for name in classes.values() if name not in (*S3DIS.names, UNLABELED))
    if wrong:
        raise UserError(
            f"--classes: {wrong[0]!r} is not a class. Choose from {', '.join(S3DIS.names)}, {UNLABELED}."
        )
    known = {*S3DIS.names, *QUIRKS, *classes}
    unknown = [file for room in rooms for file in object_files(room)[0] if class_name(file) not in known]
    if unknown:
        counts = Counter(map(class_name, unknown))
        found = ", ".join(f"{name} ({count} files)" for name, count in sorted(counts.items()))
        raise UserError(
            f"{raw}: S3DIS has no class {found}, such as {unknown[0].relative_to(raw)}. Rename the files, map names "
            f"with --classes '{{{class_name(unknown[0])}: clutter}}', or use pcseg prepare folder."
        )


def release_name(raw: Path, *, aligned: bool) -> str:
    """Return the name of the data in results; generated rooms are not called S3DIS."""
    source = "generated rooms" if is_generated(raw) else "S3DIS v1.2"
    return f"{source}, {'aligned' if aligned else 'non-aligned'}"


def missing_rooms(raw: Path, rooms: Sequence[RawRoom], *, areas: Sequence[str] | None = None) -> list[str]:
    """Return one line per area whose number of rooms differs from the release; none if ``raw`` is not the release.

    Convention:
        ``raw`` counts as the release if its path contains its name or one area is complete, unless it was generated.
    """
    counts = Counter(room.area for room in rooms)
    named = "stanford3d" in str(raw.resolve()).lower()
    complete = any(counts[area] == number for area, number in NUM_ROOMS.items())
    if is_generated(raw) or not (named or complete):
        return []
    return [
        f"{area} has {counts[area]} rooms, the release has {number}. Check that the download is complete."
        for area, number in NUM_ROOMS.items()
        if counts[area] != number and (areas is None or area in areas)
    ]


def is_aligned(rooms: Sequence[RawRoom]) -> bool:
    """Return whether colors are integers, as in the aligned release; the non-aligned one has six decimals."""
    for room in rooms:
        for file in object_files(room)[0]:
            with file.open("rb") as stream:
                words = stream.readline(200).split()
            if len(words) == 6:
                return b"." not in words[5]
    return True


def with_angles(raw: Path, rooms: Sequence[RawRoom]) -> list[RawRoom]:
    """Return the rooms with angles from ``Area_k_alignmentAngle.txt``; raise :class:`UserError` if one is missing."""
    areas = sorted({room.area for room in rooms})
    angles = {area: _read_angles(raw / area / f"{area}_alignmentAngle.txt") for area in areas}
    for room in rooms:
        if room.name not in angles[room.area]:
            raise UserError(f"{room.area}_alignmentAngle.txt has no line for {room.name}. Omit --align.")
    return [replace(room, angle=angles[room.area][room.name]) for room in rooms]


def _read_angles(path: Path) -> dict[str, float]:
    """Read the degrees per room from lines ``<room> <angle>`` after two header lines."""
    if not path.is_file():
        raise UserError(f"{path}: no such file. Use --align with the non-aligned release only.")
    angles = {}
    for number, line in enumerate(path.read_text(errors="replace").splitlines()[2:], start=3):
        if line.strip():
            try:
                room, angle = line.split()
                angles[room] = float(angle)
                if not math.isfinite(angles[room]):
                    raise ValueError
            except ValueError:
                raise UserError(f"{path} line {number}: expected '<room> <angle>', got {line!r}") from None
    return angles


def _has_rooms(folder: Path) -> bool:
    areas = (path for path in folder.iterdir() if path.is_dir() and _AREA.fullmatch(path.name))
    return any(path.is_dir() for area in areas for path in area.iterdir())
