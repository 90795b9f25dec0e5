"""Write and read files with predicted classes in their own format."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pcseg.data.indoor import LABEL_SETS
from pcseg.data.io.clouds import CLOUD_READERS, Cloud, read_table
from pcseg.data.io.labels import FIELDS, LABEL_FIELD, PointLabels
from pcseg.data.io.las import open_las
from pcseg.data.io.las_labels import write_las
from pcseg.data.io.ply import parse_header
from pcseg.data.io.record_labels import write_hdf5, write_npy, write_npz, write_pcd, write_ply
from pcseg.data.io.rows import LONGEST_HEADER, binary_vertices
from pcseg.data.io.text import read_text
from pcseg.data.io.text_labels import point_lines, write_text
from pcseg.errors import UserError
from pcseg.labels import LabelSchema, distinct_colors

Writer = Callable[[Path, Path, PointLabels], None]

LABELED = "_labeled"
"""End of the name of a file with predicted classes."""


def labeled_path(source: Path, folder: Path | str) -> Path:
    """Return the path of a file with predicted classes; a LAZ file for E57, which pye57 cannot write completely."""
    suffix = ".laz" if source.suffix.lower() == ".e57" else source.suffix
    return Path(folder) / f"{source.stem}{LABELED}{suffix}"


def find_writer(cloud: Cloud) -> tuple[Writer | None, str]:
    """Return the writer of files like that of a cloud, and a remark; ``None`` if it cannot be written."""
    path = cloud.source
    if not path.is_file():
        return None, "no labeled file: the source does not exist"
    suffix = path.suffix.lower()
    if cloud.schema is not None:
        return None, ""  # a prepared scene
    if suffix == ".e57":
        return write_laz_of_e57, "E57 cannot be written completely: the labeled file is a LAZ file"
    if CLOUD_READERS[suffix] is read_text:
        if point_lines(path, len(cloud)) is None:
            return None, "no labeled file: not every point has a line of its own"
        return write_text, ""
    if suffix == ".ply" and binary_vertices(path) is None:
        with path.open("rb") as stream:
            header = parse_header(stream.read(LONGEST_HEADER), path)
        if header.order or point_lines(path, len(cloud)) is None:
            return None, "no labeled file: vertices have lists or share lines"
    return WRITERS[suffix], ""


WRITERS: dict[str, Writer] = {
    ".las": write_las, ".laz": write_las, ".ply": write_ply, ".pcd": write_pcd, ".npy": write_npy, ".npz": write_npz,
    ".h5": write_hdf5, ".hdf5": write_hdf5,
}  # fmt: skip


def write_laz_of_e57(source: Path, target: Path, labels: PointLabels) -> None:
    """Write the columns of an E57 file as LAZ in steps of 0.1 mm; points without a position are withheld, at 0."""
    import laspy

    columns = read_table(source).columns
    pos = np.stack([columns.pop(axis) for axis in "xyz"], axis=1)
    known = np.isfinite(pos).all(axis=1)
    pos[~known] = 0
    las = laspy.create(point_format=7 if "red" in columns else 6, file_version="1.4")
    las.header.scales, las.header.offsets = np.full(3, 1e-4), np.floor(np.median(pos, axis=0))
    las.x, las.y, las.z = pos.T
    las.withheld = ~known
    if "red" in columns:
        for name in ("red", "green", "blue"):
            las[name] = columns.pop(name).astype(np.uint16) * 257
    labeled = dict(zip(FIELDS.names or (), labels.rows(0, labels.count)))
    for name, column in (columns | labeled).items():
        short = name[:32] if name not in las.point_format.dimension_names else f"original_{name}"[:32]
        las.add_extra_dim(laspy.ExtraBytesParams(name=short, type=column.dtype))
        las[short] = column
    with target.open("wb") as out:
        las.write(out, do_compress=True)


def read_labels(path: Path) -> tuple[np.ndarray, np.ndarray, LabelSchema]:
    """Return the classes ``(N,)``, confidences ``(N,)`` and label schema of a file with predicted classes.

    Raises:
        UserError: The file is damaged, or has no predicted classes or no names of them.
    """
    columns = read_table(path).columns
    added = [name for name in columns if re.fullmatch(rf"{LABEL_FIELD}(_\d+)?", name)]
    confidence = columns.get(added[-1].replace(LABEL_FIELD, "confidence")) if added else None
    schema = _read_legend(path)
    if confidence is None or schema is None:
        lacks = "classes" if confidence is None else "names of the classes"
        raise UserError(
            f"{path}: has no predicted {lacks}. Pass a .npz, LAS, PLY or PCD file of pcseg predict."
        )
    label = columns[added[-1]].astype(np.int16)
    if label.max(initial=-1) >= schema.num_classes:
        raise UserError(f"{path}: its predicted classes are not those of its legend. Predict again.")
    return label, confidence.astype(np.float32), schema


def _read_legend(path: Path) -> LabelSchema | None:
    """Return the classes that a file names, those of the last prediction if there are several."""
    suffix = path.suffix.lower()
    if suffix in (".las", ".laz"):
        records = [r for r in open_las(path).header.vlrs if (r.user_id, r.record_id) == ("pcseg", 1)]
        text = records[-1].record_data_bytes().decode(errors="replace") if records else None
        return None if text is None else LabelSchema.from_json(text, source=str(path))
    names: list[str] = []
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            names = file["class_names"].tolist() if "class_names" in file.files else []
    elif suffix in (".ply", ".pcd"):
        with path.open("rb") as stream:
            head = stream.read(LONGEST_HEADER)
        lines = re.findall(rb"^(?:comment|#) predicted_class (\d+) ([^\r\n]+)", head, re.MULTILINE)
        first = max((at for at, line in enumerate(lines) if line[0] == b"0"), default=0)
        names = [name.decode("unicode_escape") for _, name in lines[first:]]
    known = next((schema for schema in LABEL_SETS.values() if list(schema.names) == names), None)
    if known is not None or not names:
        return known
    return LabelSchema(name="the file", names=tuple(names), colors=distinct_colors(len(names)))
