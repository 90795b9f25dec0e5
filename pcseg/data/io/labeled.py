"""Write a file with predicted classes in its own format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pcseg.data.io.clouds import CLOUD_READERS, Cloud, read_table
from pcseg.data.io.labels import FIELDS, PointLabels
from pcseg.data.io.las_labels import write_las
from pcseg.data.io.ply import parse_header
from pcseg.data.io.ply_rows import LONGEST_HEADER, binary_vertices
from pcseg.data.io.record_labels import write_hdf5, write_npy, write_npz, write_pcd, write_ply
from pcseg.data.io.text import read_text
from pcseg.data.io.text_labels import point_lines, write_text

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
