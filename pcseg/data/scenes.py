"""Prepared scenes: one HDF5 file per scene, and hashes of its content."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from pcseg.errors import UserError, reason
from pcseg.files import atomic_path
from pcseg.labels import IGNORE_INDEX, LabelSchema

FORMAT_VERSION = 1
"""Increased when the layout of a file changes; files of another version are rejected."""

FIELDS: Mapping[str, tuple[np.dtype, tuple[int, ...]]] = {
    "pos": (np.dtype("<f4"), (3,)),
    "color": (np.dtype("|u1"), (3,)),
    "label": (np.dtype("<i2"), ()),
    "instance": (np.dtype("<i4"), ()),
    "normal": (np.dtype("<f4"), (3,)),
}
"""Data type of each dataset, and shape of a row; only ``normal`` is optional."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """One room or scan, as read-only arrays.

    Args:
        name: Name of the scene, unique in its area or split.
        schema: Meaning of the labels.
        pos: ``(N, 3)`` float32, meters, z up.
        color: ``(N, 3)`` uint8.
        label: ``(N,)`` int16, a class of ``schema`` or ``IGNORE_INDEX``.
        instance: ``(N,)`` int32, the object of each point, -1 for none.
        normal: ``(N, 3)`` float32 unit vectors, or ``None``.
        rest: The bytes of the file that belong to no array.

    Convention:
        Rows are in the order of the source. No file handle stays open, so a scene can be opened before a fork.
    """

    name: str
    dataset: str
    schema: LabelSchema
    path: Path
    pos: np.ndarray
    color: np.ndarray
    label: np.ndarray
    instance: np.ndarray
    normal: np.ndarray | None
    rest: bytes

    @property
    def num_points(self) -> int:
        return len(self.pos)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, without ``normal`` if there is none."""
        return {name: array for name in FIELDS if (array := getattr(self, name)) is not None}

    def hashes(self) -> tuple[str, str]:
        """Return the SHA-256 of schema and arrays, equal on every machine, and that of the rest of the file."""
        digest = hashlib.sha256(self.schema.to_json().encode())
        for name, array in self.arrays().items():
            digest.update(f"{name}{array.shape}".encode())
            digest.update(array.data)
        return digest.hexdigest(), hashlib.sha256(self.rest).hexdigest()


def write_scene(
    path: Path | str,
    *,
    pos: np.ndarray,
    color: np.ndarray,
    label: np.ndarray,
    instance: np.ndarray,
    normal: np.ndarray | None = None,
    dataset: str,
    scene: str,
    schema: LabelSchema,
) -> None:
    """Write a prepared scene atomically.

    Shapes and units are those of :class:`Scene`; wider types are accepted if every value fits.

    Raises:
        UserError: A wrong shape or type, a value that does not fit, NaN or infinity, a label that is not in
            ``schema``, or a folder that is not writable.
    """
    path = Path(path)
    given = {"pos": pos, "color": color, "label": label, "instance": instance, "normal": normal}
    arrays = {name: _as_stored(path, name, array) for name, array in given.items() if array is not None}
    _check_lengths(path, arrays)
    _check_values(path, arrays, schema)
    with atomic_path(path) as temporary:
        try:
            # aligned, so that mapped arrays are as fast as arrays in memory
            with h5py.File(temporary, "w", alignment_threshold=1, alignment_interval=64) as file:
                file.attrs["format_version"] = FORMAT_VERSION
                file.attrs["dataset"] = dataset
                file.attrs["scene"] = scene
                file.attrs["class_names"] = list(schema.names)
                file.attrs["label_schema"] = schema.to_json()
                for name, array in arrays.items():
                    file.create_dataset(name, data=array, track_times=False)
        except RuntimeError as error:  # h5py raises it when it closes a file on a full disk
            raise OSError(str(error)) from error


def _as_stored(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    dtype, _ = FIELDS[name]
    array = np.asarray(array)
    _check_shape(path, name, array.shape)
    if dtype.kind == "f":
        return np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind not in "iu":
        raise UserError(f"{path}: {name} has type {array.dtype}, expected integers.")
    stored = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype != dtype and (stored != array).any():
        raise UserError(f"{path}: {name} has values that do not fit {dtype}.")
    return stored


def _check_shape(path: Path, name: str, shape: tuple[int, ...]) -> None:
    row = FIELDS[name][1]
    if not shape or shape[1:] != row:
        expected = "(N, 3)" if row else "(N,)"
        raise UserError(f"{path}: {name} has shape {shape}, expected {expected}. Prepare the data again.")


def _check_lengths(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"{path}: arrays differ in length: {lengths}.")


def _check_values(path: Path, arrays: Mapping[str, np.ndarray], schema: LabelSchema) -> None:
    for name in ("pos", "normal"):
        if name in arrays and not np.isfinite(arrays[name]).all():
            row = int(np.flatnonzero(~np.isfinite(arrays[name]).all(axis=1))[0])
            raise UserError(f"{path}: {name} of point {row} is {arrays[name][row].tolist()}. Fix the source.")
    check_labels(path, arrays["label"], schema)


def check_labels(path: Path, label: np.ndarray, schema: LabelSchema) -> None:
    """Raise :class:`UserError` for the first label that is neither a class of ``schema`` nor ``IGNORE_INDEX``."""
    if label.min(initial=IGNORE_INDEX) < IGNORE_INDEX or label.max(initial=-1) >= schema.num_classes:
        row = int(np.flatnonzero((label < IGNORE_INDEX) | (label >= schema.num_classes))[0])
        raise UserError(
            f"{path}: label of point {row} is {label[row]}, but schema {schema.name!r} has "
            f"{IGNORE_INDEX}..{schema.num_classes - 1}. Fix the source and prepare the data again."
        )


def read_scene(path: Path | str, *, mapped: bool = False) -> Scene:
    """Read a prepared scene.

    Layout and sizes are checked here; :func:`check_scene` checks the values.

    Args:
        path: The file.
        mapped: Map the file into memory instead of reading it. The process is killed if another one truncates the
            file meanwhile.

    Raises:
        UserError: No such file, not a prepared scene, a missing or wrong dataset, a truncated file, or another
            format version.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file. Prepare the data first.")
    try:
        with h5py.File(path, "r") as file:
            attributes = _read_attributes(path, file)
            locations = {
                name: _locate(path, file, name) for name in FIELDS if name != "normal" or name in file
            }
    except UserError:
        raise
    except Exception as error:  # h5py raises many kinds of errors for damaged files
        raise UserError(
            f"{path}: cannot be read as HDF5 ({reason(error)}). Prepare the data again."
        ) from error
    arrays, rest = _cut(path, locations, mapped=mapped)
    _check_lengths(path, arrays)
    return Scene(path=path, rest=rest, **attributes, **{"normal": None, **arrays})


def check_scene(scene: Scene) -> None:
    """Read every value of a scene; raise :class:`UserError` for NaN, infinite numbers and unknown labels."""
    _check_values(scene.path, scene.arrays(), scene.schema)


def _read_attributes(path: Path, file: h5py.File) -> dict:
    attributes = dict(file.attrs)
    missing = {"format_version", "dataset", "scene", "label_schema"} - attributes.keys()
    if missing:
        raise UserError(
            f"{path}: not a prepared scene (attribute {min(missing)!r} is missing). Prepare the data first."
        )
    if attributes["format_version"] != FORMAT_VERSION:
        raise UserError(
            f"{path}: has format version {attributes['format_version']}, expected {FORMAT_VERSION}. "
            "Prepare the data again."
        )
    schema = LabelSchema.from_json(str(attributes["label_schema"]), source=str(path))
    return {"name": str(attributes["scene"]), "dataset": str(attributes["dataset"]), "schema": schema}


def _locate(path: Path, file: h5py.File, name: str) -> tuple[tuple[int, ...], int]:
    """Return shape and byte offset of a dataset; the offset is 0 for an empty one."""
    dtype, _ = FIELDS[name]
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise UserError(f"{path}: dataset {name!r} is missing. Prepare the data again.")
    if dataset.dtype != dtype:
        raise UserError(f"{path}: {name} has type {dataset.dtype}, expected {dtype}. Prepare the data again.")
    _check_shape(path, name, dataset.shape)
    offset = dataset.id.get_offset()  # None if nothing is allocated, or not contiguously
    if offset is None and dataset.size:
        raise UserError(
            f"{path}: {name} is chunked or compressed and cannot be mapped. Prepare the data again."
        )
    return dataset.shape, offset or 0


def _cut(
    path: Path, locations: Mapping[str, tuple[tuple[int, ...], int]], *, mapped: bool
) -> tuple[dict[str, np.ndarray], bytes]:
    """Read the whole file once and return its arrays as views, and the bytes that belong to none."""
    raw = np.memmap(path, dtype=np.uint8, mode="r") if mapped else np.fromfile(path, dtype=np.uint8)
    raw.flags.writeable = False
    arrays, rest, last = {}, [], 0
    for name, (shape, offset) in sorted(locations.items(), key=lambda item: item[1][1]):
        dtype, _ = FIELDS[name]
        end = offset + dtype.itemsize * math.prod(shape)
        if end > len(raw):
            raise UserError(
                f"{path}: truncated, {name} ends at byte {end} of {len(raw)}. Prepare the data again."
            )
        arrays[name] = raw[offset:end].view(dtype).reshape(shape)
        rest.append(raw[last:offset])
        last = max(end, last)
    return arrays, b"".join(part.tobytes() for part in (*rest, raw[last:]))
