"""The manifest of a prepared folder: its scenes, their contents and their source."""

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
        content: SHA-256 of the arrays, equal on every machine.
        source: Fingerprint of the raw files and options; a scene whose fingerprint is unchanged is skipped.
        mean_color: Mean color in 0..255, ``None`` for an empty scene or in a manifest of an older version.
        space: Name of the physical space, if several scenes can show it; these are held out together.
        repairs: Damaged lines of the source that were repaired.
        ignored: Source files, points or labels that were skipped.
        remarks: Decisions of the reader that a user should know.
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
        write_json(path, fields)

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
            return cls(
                dataset=str(fields["dataset"]),
                release=str(fields["release"]),
                schema=LabelSchema.from_json(json.dumps(fields["schema"]), source=str(path)),
                scenes=tuple(_read_entry(entry) for entry in fields["scenes"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: damaged ({type(error).__name__}: {reason(error)}). Prepare the data again."
            ) from error


def _read_entry(fields: dict) -> SceneEntry:
    color = fields.get("mean_color")
    if color is not None:
        red, green, blue = map(float, color)
        color = (red, green, blue)
    lists = {
        "mean_color": color,
        "class_histogram": tuple(map(int, fields["class_histogram"])),
        "repairs": tuple(Repair(**repair) for repair in fields["repairs"]),
        "ignored": tuple(fields["ignored"]),
        "remarks": tuple(fields.get("remarks", ())),
    }
    return SceneEntry(**{**fields, **lists})


def describe_scene(
    scene: Scene,
    *,
    folder: Path | str,
    source: str,
    space: str | None = None,
    repairs: tuple[Repair, ...] = (),
    ignored: tuple[str, ...] = (),
    remarks: tuple[str, ...] = (),
) -> SceneEntry:
    """Return the manifest entry of a scene that was written under ``folder``/<area or split>/."""
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
        mean_color=_mean_color(scene.color),
        space=space,
        repairs=repairs,
        ignored=ignored,
        remarks=remarks,
    )


def _mean_color(color: np.ndarray) -> tuple[float, float, float] | None:
    if not len(color):
        return None
    # one sum per channel takes an eighth of the time of color.mean(axis=0)
    red, green, blue = (float(channel.sum(dtype=np.int64)) / len(color) for channel in color.T)
    return red, green, blue
