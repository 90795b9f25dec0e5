"""The manifest of a prepared folder: its scenes, their contents and their source."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pcseg.data.scenes import FORMAT_VERSION, Scene, read_scene
from pcseg.errors import UserError, reason
from pcseg.files import write_json
from pcseg.labels import IGNORE_INDEX, LabelSchema, is_file_name

MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Repair:
    """A repaired line of a source file; ``file`` is relative to the release, ``line`` counts from 1."""

    file: str
    line: int
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class SceneEntry:
    """The manifest entry of one scene.

    Args:
        path: File relative to the manifest, with ``/`` as separator.
        split: Area or split.
        class_histogram: Number of points per class of the schema; the other points are unlabeled.
        content: SHA-256 of schema and arrays, equal on every machine.
        source: Fingerprint of the raw files and options; a scene whose fingerprint is unchanged is skipped.
        mean_color: Mean color in 0..255, ``None`` for an empty scene or in a manifest of an older version.
        space: Name of the physical space, if several scenes can show it; these are held out together.
        repairs: Damaged lines of the source that were repaired.
        ignored: Source files, points or labels that were skipped.
        remarks: Decisions of the reader that a user should know.
        rest: SHA-256 of the bytes of the file that belong to no array, ``None`` in a manifest of an older version.
    """

    path: str
    split: str
    name: str
    num_points: int
    class_histogram: tuple[int, ...]
    content: str
    source: str
    mean_color: tuple[float, float, float] | None = None
    space: str | None = None
    repairs: tuple[Repair, ...] = ()
    ignored: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    rest: str | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The scenes of a prepared folder.

    Args:
        release: Name of the raw release in results.
        scenes: One entry per scene, ordered by path.
    """

    dataset: str
    release: str
    schema: LabelSchema
    scenes: tuple[SceneEntry, ...]

    @property
    def num_points(self) -> int:
        return sum(scene.num_points for scene in self.scenes)

    @property
    def class_histogram(self) -> tuple[int, ...]:
        """Number of points per class over all scenes."""
        columns = zip(*(scene.class_histogram for scene in self.scenes)) if self.scenes else ()
        return tuple(map(sum, columns)) or (0,) * self.schema.num_classes

    @property
    def mean_color(self) -> tuple[float, float, float] | None:
        """Mean color of all points in 0..255, or ``None`` if a scene does not have one."""
        scenes = [scene for scene in self.scenes if scene.num_points]
        colors = [scene.mean_color for scene in scenes if scene.mean_color is not None]
        if not scenes or len(colors) < len(scenes):
            return None
        weights = [scene.num_points for scene in scenes]
        red, green, blue = np.average(np.array(colors), axis=0, weights=weights).tolist()
        return red, green, blue

    @property
    def splits(self) -> tuple[str, ...]:
        """The areas or splits, sorted."""
        return tuple(sorted({scene.split for scene in self.scenes}))

    @property
    def hash(self) -> str:
        """Hash of release, schema and contents: equal for equal data on every machine."""
        parts = [str(FORMAT_VERSION), self.dataset, self.release, self.schema.to_json()]
        parts += sorted(f"{scene.path} {scene.content}" for scene in self.scenes)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    @property
    def copies(self) -> list[tuple[SceneEntry, SceneEntry]]:
        """Every scene that has the same content as another one before it, after that one; empty scenes are none."""
        first: dict[str, SceneEntry] = {}
        pairs = [(first.setdefault(scene.content, scene), scene) for scene in self.scenes if scene.num_points]
        return [(one, other) for one, other in pairs if one is not other]

    def write(self, folder: Path | str) -> None:
        """Write ``manifest.json`` in ``folder`` atomically."""
        path = Path(folder) / MANIFEST_NAME
        fields = {
            "format_version": FORMAT_VERSION,
            "dataset": self.dataset,
            "release": self.release,
            "schema": json.loads(self.schema.to_json()),
            "hash": self.hash,
            "num_scenes": len(self.scenes),
            "num_points": self.num_points,
            "class_histogram": dict(zip(self.schema.names, self.class_histogram)),
            "mean_color": self.mean_color,
            "scenes": [asdict(scene) for scene in self.scenes],
        }
        write_json(path, {"checksum": _checksum(fields), **fields})

    @classmethod
    def read(cls, folder: Path | str) -> "Manifest":
        """Read the manifest of ``folder``.

        Raises:
            UserError: No manifest, another format version, or not a manifest.
        """
        path = Path(folder) / MANIFEST_NAME
        if not path.is_file():
            raise UserError(f"{path}: no such file. Prepare the data first.")
        try:
            fields = json.loads(path.read_text())
            version = fields["format_version"]
            if version != FORMAT_VERSION:
                raise UserError(
                    f"{path}: has format version {version}, expected {FORMAT_VERSION}. Prepare the data again."
                )
            schema = LabelSchema.from_json(json.dumps(fields["schema"]), source=str(path))
            _check_fields(fields)
            scenes = tuple(_read_entry(entry, schema.num_classes) for entry in fields["scenes"])
            for names in (
                [scene.path for scene in scenes],
                [f"{scene.split}/{scene.name}" for scene in scenes],
            ):
                _check(len(set(names)) == len(names), "two scenes have the same name")
            return cls(dataset=fields["dataset"], release=fields["release"], schema=schema, scenes=scenes)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UserError(
                f"{path}: damaged ({type(error).__name__}: {reason(error)}). Prepare the data again."
            ) from error


_FIELDS = {"format_version", "dataset", "release", "schema", "hash", "num_scenes", "num_points", "class_histogram",
           "mean_color", "scenes"}  # fmt: skip


def _checksum(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _check(valid: bool, problem: str) -> None:
    if not valid:
        raise ValueError(problem)


def _check_fields(fields: dict[str, Any]) -> None:
    """Check the values of a manifest besides its scenes; manifests of older versions have no checksum."""
    rest = {key: value for key, value in fields.items() if key != "checksum"}
    _check(fields.get("checksum", _checksum(rest)) == _checksum(rest), "its checksum differs")
    _check(rest.keys() <= _FIELDS, f"unknown fields {sorted(rest.keys() - _FIELDS)}")
    _check(isinstance(fields["scenes"], list), "scenes is not a list")
    for key in ("dataset", "release"):
        _check(isinstance(fields[key], str), f"{key} is not a string")


def _read_entry(fields: dict[str, Any], num_classes: int) -> SceneEntry:
    """Return an entry whose values have the right types and ranges, and whose names stay inside a folder."""
    color = fields.get("mean_color")
    if color is not None:
        red, green, blue = map(float, color)
        _check(all(0 <= value <= 255 for value in (red, green, blue)), f"mean_color is {color}")
        color = (red, green, blue)
    lists = {
        "mean_color": color,
        "class_histogram": tuple(fields["class_histogram"]),
        "repairs": tuple(Repair(**repair) for repair in fields["repairs"]),
        "ignored": tuple(fields["ignored"]),
        "remarks": tuple(fields.get("remarks", ())),
    }
    entry = SceneEntry(**{**fields, **lists})
    words = (entry.path, entry.split, entry.name, entry.content, entry.source, *entry.ignored, *entry.remarks)
    _check(all(isinstance(word, str) for word in words), "a name is not a string")
    for word in (entry.space, entry.rest):
        _check(word is None or isinstance(word, str), "a name is not a string")
    for part in (entry.name, *entry.path.split("/")):
        _check(is_file_name(part), f"{part!r} is not a name of a file")
    _check(entry.path.startswith(f"{entry.split}/"), f"{entry.path} is not in {entry.split!r}")
    counts = (entry.num_points, *entry.class_histogram)
    _check(
        all(type(count) is int and 0 <= count < 2**63 for count in counts), f"{entry.path}: a count is wrong"
    )
    _check(len(entry.class_histogram) == num_classes, f"{entry.path}: not one count per class")
    _check(sum(entry.class_histogram) <= entry.num_points, f"{entry.path}: more labels than points")
    return entry


_verified: dict[tuple[Path, SceneEntry], tuple[int, int, int]] = {}
"""Size, time of change and inode of the files whose hashes this process has compared."""


def verified_scene(root: Path, entry: SceneEntry, schema: LabelSchema | None = None) -> Scene:
    """Read a scene of a prepared folder and, on first use, compare it with the manifest.

    A file is compared again when its size, time of change or inode differ.

    Args:
        root: The prepared folder.
        entry: The scene.
        schema: Label schema that the scene must have.

    Raises:
        UserError: As :func:`read_scene`, other classes, or other content than when the scene was prepared.
    """
    path = root / entry.path
    state = path.stat() if path.is_file() else None
    scene = read_scene(path)
    if schema is not None:
        schema.require_same(scene.schema, this=str(root), that=str(path))
    signature = (state.st_size, state.st_mtime_ns, state.st_ino) if state else (0, 0, 0)
    if _verified.get((path, entry)) != signature:
        content, rest = scene.hashes()
        if scene.num_points != entry.num_points or content != entry.content or entry.rest not in (None, rest):
            raise UserError(
                f"{path}: damaged or changed, its checksum differs from the manifest. Prepare the data again."
            )
        _verified[path, entry] = signature
    return scene


def describe_scene(path: Path, *, folder: Path | str, source: str) -> SceneEntry:
    """Return the manifest entry of a scene that was written under ``folder``/<area or split>/."""
    scene, relative = read_scene(path, mapped=True), path.relative_to(folder)
    label = scene.label[scene.label != IGNORE_INDEX]
    content, rest = scene.hashes()
    return SceneEntry(
        path=relative.as_posix(),
        split=relative.parts[0],
        name=scene.name,
        num_points=scene.num_points,
        class_histogram=tuple(np.bincount(label, minlength=scene.schema.num_classes).tolist()),
        content=content,
        source=source,
        mean_color=_mean_color(scene.color),
        rest=rest,
    )


def _mean_color(color: np.ndarray) -> tuple[float, float, float] | None:
    if not len(color):
        return None
    # one sum per channel takes an eighth of the time of color.mean(axis=0)
    red, green, blue = (float(channel.sum(dtype=np.int64)) / len(color) for channel in color.T)
    return red, green, blue
