"""PLY, PCD, NumPy and HDF5 files with predicted classes."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from pcseg.data.io.arrays import find_points
from pcseg.data.io.labels import FIELDS, PointLabels, free_names
from pcseg.data.io.pcd import binary_rows, header_words
from pcseg.data.io.ply import parse_header
from pcseg.data.io.rows import LONGEST_HEADER, binary_vertices
from pcseg.data.io.text_labels import write_lines

PART = 1_000_000
"""Rows that are written at a time."""


def write_ply(source: Path, target: Path, labels: PointLabels) -> None:
    """Write a PLY file with two more properties of its vertices; the names of classes are comments.

    Vertices and elements before them must not have lists.
    """
    with source.open("rb") as stream, target.open("wb") as out:
        head = stream.read(LONGEST_HEADER)
        header, rows = parse_header(head, source), binary_vertices(source)
        labels.require(labels.count if rows is None else rows.count, source)
        out.write(_ply_head(head[: header.start], labels))
        stream.seek(header.start)
        if rows is None:
            write_lines(out, source, labels)
            return
        copy_bytes(stream, out, rows.start - header.start)
        for start, part in zip(range(0, rows.count, PART), rows.parts(PART, PART)):
            out.write(labels.append(part.view(np.uint8).reshape(len(part), -1), start, header.order).data)
        stream.seek(rows.start + rows.count * rows.kind.itemsize)
        shutil.copyfileobj(stream, out)


def _ply_head(head: bytes, labels: PointLabels) -> bytes:
    """Return the header with a legend and two properties behind those of the vertices."""
    end = b"\r\n" if b"\r\n" in head else b"\n" if b"\n" in head else b"\r"
    lines, owner, last, taken = head.split(end), b"", 0, []
    for number, line in enumerate(lines):
        words = line.split()
        owner = words[1].lower() if words[:1] == [b"element"] else owner
        if owner == b"vertex" and words[:1] in ([b"element"], [b"property"]):
            last = number
            taken.append(words[-1].decode("latin-1"))
    added = [f"property {kind} {name}".encode() for kind, name in zip(("short", "float"), free_names(taken))]
    legend = [b"comment " + line for line in labels.legend]
    first = next(number for number, line in enumerate(lines) if line.split()[:1] == [b"element"])
    return end.join([*lines[:first], *legend, *lines[first : last + 1], *added, *lines[last + 1 :]])


def write_pcd(source: Path, target: Path, labels: PointLabels) -> None:
    """Write a PCD file with two more fields; compressed files become binary ones. The names of classes are comments."""
    data = source.read_bytes()
    words, start = header_words(data, source)
    names = words.get("FIELDS") or words["COLUMNS"]
    ascii_format = words["DATA"][0].lower() == "ascii"
    four, one = ["4"] * len(names), ["1"] * len(names)
    header = words | {"FIELDS": [*names, *free_names(names)], "SIZE": [*words.get("SIZE", four), "2", "4"],
                      "TYPE": [*words.get("TYPE", ["F"] * len(names)), "I", "F"],
                      "COUNT": [*words.get("COUNT", one), "1", "1"]}  # fmt: skip
    header.pop("COLUMNS", None)
    header["DATA"] = ["ascii" if ascii_format else "binary"]
    comments = [line for line in data[:start].splitlines() if line.startswith(b"#")]
    order = ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT")
    keys = [
        *(key for key in order if key in header),
        *(key for key in header if key not in (*order, "DATA")),
        "DATA",
    ]
    with target.open("wb") as out:
        out.writelines(line + b"\n" for line in comments)
        out.writelines(b"# " + line + b"\n" for line in labels.legend)
        out.writelines(f"{' '.join([key, *header[key]])}\n".encode() for key in keys)
        if ascii_format:
            write_lines(out, source, labels)
        else:
            rows = binary_rows(source)
            labels.require(len(rows), source)
            for first in range(0, len(rows), PART):
                out.write(labels.append(rows[first : first + PART], first).data)


def write_npy(source: Path, target: Path, labels: PointLabels) -> None:
    """Write an array with two more fields or columns."""
    array = np.load(source, mmap_mode="r", allow_pickle=False)
    if array.dtype.names:
        names = free_names(array.dtype.names)
        kind = np.dtype([*array.dtype.descr, *zip(names, ("<i2", "<f4"))])
        shape, table = (labels.count,), array.reshape(-1)
    else:
        table = array if len(array) == labels.count else array.T
        kind = np.result_type(array.dtype, np.float32)
        shape = (labels.count, table.shape[1] + 2)

    def rows(start: int, stop: int) -> np.ndarray:
        added = labels.rows(start, stop)
        if not array.dtype.names:
            return np.column_stack([table[start:stop], *added])
        part = np.empty(stop - start, kind)
        for name, column in zip(
            kind.names or (), [*(table[n][start:stop] for n in array.dtype.names), *added]
        ):
            part[name] = column
        return part

    with target.open("wb") as out:
        _write_array(out, kind, shape, rows)


def write_npz(source: Path, target: Path, labels: PointLabels) -> None:
    """Write the arrays of a file, and those of the classes, the confidences and the names of the classes."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        entries = old.infolist()
        for entry in entries:
            with (
                old.open(entry) as stream,
                new.open(_like(entry.filename, entry), "w", force_zip64=True) as out,
            ):
                shutil.copyfileobj(stream, out, 1 << 20)
        taken = [entry.filename.removesuffix(".npy") for entry in entries]
        for name, field in zip(free_names(taken), FIELDS.names or ()):
            with new.open(_like(f"{name}.npy", entries[0]), "w", force_zip64=True) as out:
                _write_array(
                    out, FIELDS[field], (labels.count,), lambda a, b, f=field: labels.records(a, b)[f]
                )
        if "class_names" not in taken:
            with new.open(_like("class_names.npy", entries[0]), "w") as out:
                np.lib.format.write_array(out, np.array(labels.schema.names), allow_pickle=False)


def _like(name: str, entry: zipfile.ZipInfo) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name, entry.date_time)
    made.compress_type = entry.compress_type
    return made


def write_hdf5(source: Path, target: Path, labels: PointLabels) -> None:
    """Write a copy of a file with the classes and confidences beside the points."""
    import h5py

    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as file:
        group: Any = file[find_points(file)[2] or "/"]
        for name, values in zip(free_names(group), labels.rows(0, labels.count)):
            group[name] = values
            group[name].attrs["class_names"] = list(labels.schema.names)


def _write_array(
    out: IO[bytes], kind: np.dtype, shape: tuple[int, ...], rows: Callable[[int, int], np.ndarray]
) -> None:
    """Write an array in the ``.npy`` format in parts."""
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(out, header)
    for start in range(0, shape[0], PART):
        out.write(np.ascontiguousarray(rows(start, min(start + PART, shape[0])), kind).tobytes())


def copy_bytes(stream: BinaryIO, out: BinaryIO, count: int) -> None:
    """Copy ``count`` bytes, or those that are left."""
    while part := stream.read(min(count, 1 << 20)):
        out.write(part)
        count -= len(part)
