"""Annotations of a ScanNet scan: the class and the object of every vertex."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.releases.scannet import LABEL_TABLE, Category, RawScan
from pcseg.data.io.ply import read_ply
from pcseg.data.schemas import NYU40, Benchmark
from pcseg.errors import UserError
from pcseg.labels import IGNORE_INDEX

STRAY_IDS = (50, 149)
"""Ids of another label table in ``labels.ply`` of scene0270_00, scene0270_02 and scene0384_00."""


def read_annotation(
    scan: RawScan, num_vertices: int, *, table: Mapping[str, Category], benchmark: Benchmark
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return label (int16) and instance (int32) of every vertex, -1 for none, and remarks about skipped labels.

    Raises:
        UserError: A file that is missing, damaged, or does not match the mesh, or an unknown category.

    Convention:
        The 20 classes come from the nyu40 ids of ``labels.ply``, the 200 classes from the categories of the
        objects and the column ``id`` of the table. A vertex of two objects belongs to the later one. Vertices
        with an id of :data:`STRAY_IDS` are unlabeled; the benchmark ignores them too.
    """
    name = f"{scan.name}/{scan.aggregation.name}"
    objects = _read_json(scan.aggregation, "segGroups", name)
    try:
        ids = np.array([int(entry["id"]) for entry in objects], np.int32)
        categories = [str(entry["label"]) for entry in objects]
        owner = {int(part): k for k, entry in enumerate(objects) for part in entry["segments"]}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{name}: an object without id, label or segments ({error!r}). Download it again."
        ) from error
    unknown = [category for category in categories if category not in table]
    if unknown:
        raise UserError(
            f"{name}: category {unknown[0]!r} is not in {LABEL_TABLE}. Use both from one release."
        )
    segment = _read_segments(scan, num_vertices)
    row = _rows(segment, owner)
    instance = np.append(ids, np.int32(-1))[row]
    nyu40 = _read_nyu40(scan, num_vertices)  # read for 200 classes too, because it must match the mesh
    if benchmark.column == "nyu40id":
        return benchmark.to_labels(nyu40), instance, _strays(scan, nyu40)
    known = benchmark.to_labels(np.array([table[category].id for category in categories], np.int64))
    return np.append(known, np.int16(IGNORE_INDEX))[row], instance, ()


def _strays(scan: RawScan, nyu40: np.ndarray) -> tuple[str, ...]:
    counts = {number: int(np.count_nonzero(nyu40 == number)) for number in STRAY_IDS}
    return tuple(
        f"{scan.name}/{scan.labels.name}: label {number} of {count} vertices is not in nyu40"
        for number, count in counts.items()
        if count
    )


def _rows(segment: np.ndarray, owner: Mapping[int, int]) -> np.ndarray:
    """Return the object of each vertex by its segment, -1 for none."""
    if not owner:
        return np.full(len(segment), -1)
    parts = np.array(sorted(owner))
    place = np.minimum(np.searchsorted(parts, segment), len(parts) - 1)
    rows = np.array([owner[part] for part in parts.tolist()])
    return np.where(parts[place] == segment, rows[place], -1)


def _read_segments(scan: RawScan, num_vertices: int) -> np.ndarray:
    name = f"{scan.name}/{scan.segments.name}"
    if not scan.segments.is_file():
        raise UserError(f"{name}: no such file. Download the scan again.")
    segment = _fast_integers(scan.segments.read_bytes(), b'"segIndices"')
    if segment is None:  # another formatting, or damaged
        try:
            segment = np.array(_read_json(scan.segments, "segIndices", name), np.int64)
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{name}: segIndices are not integers. Download the scan again.") from error
    if segment.shape != (num_vertices,):
        raise UserError(
            f"{name}: {len(segment)} segIndices for {num_vertices} vertices of {scan.mesh.name}. "
            "Download the scan again."
        )
    return segment


def _fast_integers(text: bytes, key: bytes) -> np.ndarray | None:
    """Parse the list of integers of ``key`` several times faster than :mod:`json`; return ``None`` if in doubt."""
    start = text.find(b"[", text.find(key)) + 1
    end = text.find(b"]", start)
    if key not in text or start == 0 or end < 0 or text.strip()[-1:] != b"}":
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy warns about anything else
        try:
            return np.fromstring(text[start:end], np.int64, sep=",")
        except (ValueError, DeprecationWarning):
            return None


def _read_nyu40(scan: RawScan, num_vertices: int) -> np.ndarray:
    name = f"{scan.name}/{scan.labels.name}"
    if not scan.labels.is_file():
        raise UserError(f"{name}: no such file. Download the scan again.")
    columns = read_ply(scan.labels).columns
    if "label" not in columns:
        raise UserError(
            f"{name}: its vertices have no 'label' (properties: {list(columns)}). Download the scan again."
        )
    label = columns["label"].astype(np.int64)
    if len(label) != num_vertices:
        raise UserError(
            f"{name}: {len(label)} vertices, {scan.mesh.name} has {num_vertices}. Download the scan again."
        )
    strange = ((label < 0) | (label > NYU40.num_classes)) & ~np.isin(label, STRAY_IDS)
    if strange.any():
        row = int(np.flatnonzero(strange)[0])
        raise UserError(
            f"{name}: label of vertex {row} is {label[row]}, nyu40 has 0..40. Download the scan again."
        )
    return label


def _read_json(path: Path, key: str, name: str) -> list[Any]:
    if not path.is_file():
        raise UserError(f"{name}: no such file. Download the scan again.")
    try:
        values = json.loads(path.read_bytes())[key]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{name}: damaged, no {key} ({error}). Download the scan again.") from error
    if not isinstance(values, list):
        raise UserError(f"{name}: {key} is not a list. Download the scan again.")
    return values
