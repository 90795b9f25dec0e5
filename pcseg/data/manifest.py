"""The manifest of a prepared folder: which scenes it holds, what they contain and where they come from."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pcseg.data.scenes import FORMAT_VERSION, Scene
from pcseg.errors import UserError, reason
from pcseg.files import write_json
from pcseg.labels import IGNORE_INDEX, LabelSchema

MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Repair:
    """A damaged line of a source file that was mended: ``file`` relative to the release, ``line`` from 1."""

    file: str
    line: int
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class SceneEntry:
    """What the manifest knows of one scene.

    Args:
        path: File relative to the manifest, with ``/``.
        split: Area or split.
        name: Name of the scene.
        num_points: Number of points.
        class_histogram: Points of every class of the schema; the rest of ``num_points`` has no class.
        content: SHA-256 of the arrays, the same on every machine.
        source: Fingerprint of the raw files and of the options, by which an unchanged scene is skipped.
        repairs: Damaged lines of the source that were mended.
        ignored: Source files, points or labels that were left out.
    """

    path: str
    split: str
    name: str
    num_points: int
    class_histogram: tuple[int, ...]
    content: str
    source: str
    repairs: tuple[Repair, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The scenes of a prepared folder.

    Args:
        dataset: Name of the data set.
        release: The raw release, as results name it.
        schema: Meaning of the labels.
        scenes: One entry a scene, ordered by path.
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
        """Points of every class in all scenes."""
        columns = zip(*(scene.class_histogram for scene in self.scenes)) if self.scenes else ()
        return tuple(map(sum, columns)) or (0,) * self.schema.num_classes

    @property
    def splits(self) -> tuple[str, ...]:
        """The areas or splits, sorted."""
        return tuple(sorted({scene.split for scene in self.scenes}))

    @property
    def hash(self) -> str:
        """Hash of release, schema and contents: equal for equal data, whatever machine prepared it."""
        parts = [str(FORMAT_VERSION), self.dataset, self.release, self.schema.to_json()]
        parts += sorted(f"{scene.path} {scene.content}" for scene in self.scenes)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def write(self, folder: Path | str) -> None:
        """Write ``manifest.json`` in ``folder``, in one step."""
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
            "scenes": [asdict(scene) for scene in self.scenes],
        }
        write_json(path, fields)

    @classmethod
    def read(cls, folder: Path | str) -> "Manifest":
        """Read the manifest of ``folder``.

        Raises:
            UserError: No manifest, another format version, or not a manifest.
        """
        path = Path(folder) / MANIFEST_NAME
        if not path.is_file():
            raise UserError(f"{path}: no manifest; {folder} is not a prepared folder, prepare the data first")
        try:
            fields = json.loads(path.read_text())
            version = fields["format_version"]
            if version != FORMAT_VERSION:
                raise UserError(
                    f"{path}: format version {version}, this pcseg reads {FORMAT_VERSION}; prepare again"
                )
            return cls(
                dataset=str(fields["dataset"]),
                release=str(fields["release"]),
                schema=LabelSchema.from_json(json.dumps(fields["schema"]), source=str(path)),
                scenes=tuple(_read_entry(entry) for entry in fields["scenes"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}: damaged ({type(error).__name__}: {reason(error)}); prepare the data again"
            ) from error


def _read_entry(fields: dict) -> SceneEntry:
    lists = {
        "class_histogram": tuple(map(int, fields["class_histogram"])),
        "repairs": tuple(Repair(**repair) for repair in fields["repairs"]),
        "ignored": tuple(fields["ignored"]),
    }
    return SceneEntry(**{**fields, **lists})


def describe_scene(
    scene: Scene,
    *,
    folder: Path | str,
    source: str,
    repairs: tuple[Repair, ...] = (),
    ignored: tuple[str, ...] = (),
) -> SceneEntry:
    """The manifest entry of a scene that was written under ``folder``/<area or split>/."""
    relative = scene.path.relative_to(folder)
    label = scene.label[scene.label != IGNORE_INDEX]
    digest = hashlib.sha256(scene.schema.to_json().encode())
    for name, array in scene.arrays().items():
        digest.update(f"{name}{array.shape}".encode())
        digest.update(array.data)
    return SceneEntry(
        path=relative.as_posix(),
        split=relative.parts[0],
        name=scene.name,
        num_points=scene.num_points,
        class_histogram=tuple(np.bincount(label, minlength=scene.schema.num_classes).tolist()),
        content=digest.hexdigest(),
        source=source,
        repairs=repairs,
        ignored=ignored,
    )
