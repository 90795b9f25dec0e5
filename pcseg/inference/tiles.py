"""Predict scans of any size tile by tile, with bounded memory, resumed after an interruption."""

import errno
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn

from pcseg import __version__
from pcseg.checkpoint import LoadedModel
from pcseg.data.alignment import IDENTITY, Units, Up
from pcseg.data.io.clouds import Cloud
from pcseg.data.io.labeled import WRITERS, labeled_path
from pcseg.data.io.labels import FIELDS, PointLabels
from pcseg.data.io.parts import PART, PartedFile
from pcseg.data.room_frame import GivenAxes
from pcseg.data.rooms import with_height
from pcseg.errors import UserError, reason
from pcseg.files import atomic_paths, output_folder, write_text
from pcseg.inference.blocks import Region, window_edge
from pcseg.inference.clouds import class_shares, confident_labels, sample_in_frame
from pcseg.inference.points import PointOptions, predict_scene
from pcseg.inference.scan_axes import ScanAxes, find_axes
from pcseg.inference.tile_store import Cells, StoredLabels, TileStore, cut_tiles, within

ALIGNED = 64
"""Voxel coordinates of tiles begin at multiples of this, so that coarse voxels of neighboring tiles are the same."""

OnProgress = Callable[[str, int, int], None]
"""Receives the name of a stage, and its finished and total steps."""


@dataclass(frozen=True, kw_only=True)
class TileOptions:
    """How a large scan is predicted.

    Args:
        units, up, axes, min_confidence: As for ``pcseg predict``.
        max_voxels: Largest number of voxels of a tile with its margin; default: those of a forward pass.
        max_rows: Largest number of rows of a tile with its margin.
    """

    points: PointOptions
    units: Units = "auto"
    up: Up = "auto"
    axes: GivenAxes = GivenAxes()  # noqa: RUF009 - immutable
    min_confidence: float = 0.0
    max_voxels: int | None = None
    max_rows: int = 10_000_000


def predict_large(
    model: LoadedModel, files: Sequence[PartedFile], out: Path, *, options: TileOptions, progress_bar: bool
) -> list[str]:
    """Predict files as one scan by :func:`predict_in_tiles`, and show the progress of every stage."""
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[note]}"))
    with (
        output_folder(out, part=files[0].path.stem),
        Progress(*columns, console=Console(stderr=True), disable=not progress_bar) as progress,
    ):
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total, note="")
            progress.update(tasks[stage], completed=done, note=f"{done:,} of {total:,}")

        paths, remarks = predict_in_tiles(model, files, out, options=options, on_progress=show)
    return [*remarks, f"wrote {', '.join(map(str, paths))}"]


def predict_in_tiles(
    model: LoadedModel,
    files: Sequence[PartedFile],
    out: Path,
    *,
    options: TileOptions,
    on_progress: OnProgress,
) -> tuple[list[Path], list[str]]:
    """Predict files as one scan and write each in its own format; return the paths and remarks.

    Points are read in parts. The first points of each voxel of a part become rows of a file, sorted by cells of the
    ground plan. Tiles are rectangles of cells that one forward pass holds with a margin. Every tile is predicted, and
    its results are kept. Then every file is read again, and written with its classes.

    Raises:
        UserError: A file is damaged or missing, a field of the model is missing, or the disk is full.

    Convention:
        Work lies in a hidden folder of ``out`` until all files are written. The same call resumes from it.
    """
    if options.points.fragments == "all":
        raise UserError("--fragments all: not for scans that are predicted in tiles. Use a number.")
    axes, remarks = find_axes(model, files, units=options.units, up=options.up, given=options.axes)
    kind = [("pos", "<f4", 3)]
    for name, value, type_ in (("color", axes.like.color, "u1"), ("normal", axes.like.normal, "<f4")):
        if value is not None and name in model.features:
            kind.append((name, type_, 3))
    store = TileStore(
        folder=out / f".{files[0].path.stem[:40]}.tiles",
        kind=np.dtype(kind),
        grid_size=model.grid_size,
        fragments=options.points.fragments,
    )
    remarks.append(require_disk(files, store, out))
    try:
        versions = list(map(file_version, files))
        cells = fill_store(store, model, files, axes, options, versions, on_progress)
        tiles = predict_tiles(model, store, cells, axes, options, on_progress)
        changed = next((file for file, old in zip(files, versions) if file_version(file) != old), None)
        if changed is not None:
            raise UserError(f"{changed.path}: changed while it was predicted. Run the command again.")
        paths, shares = write_files(model, store, cells, files, out, on_progress)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(
            f"run the command again to resume; finished tiles are in {store.folder}"
        ) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        name = store.folder if full else error.filename or store.folder
        raise UserError(
            f"{name}: {error.strerror or reason(error)}. {'Free disk space' if full else 'Check it'} and run the "
            "command again; finished tiles are kept."
        ) from error
    shutil.rmtree(store.folder)
    remarks += [f"prediction: {sum(f.count for f in files):,} points in {tiles} tiles"]
    return paths, [*remarks, f"classes: {class_shares(shares, model.schema)}"]


def require_disk(files: Sequence[PartedFile], store: TileStore, out: Path) -> str:
    """Return a remark on the disk space that a prediction takes.

    Raises:
        UserError: Less than its least is free.
    """
    count = sum(file.count for file in files)
    written = sum(file.path.stat().st_size for file in files)
    least = 4 * count + written
    most = least + count * (store.kind.itemsize + 2 * FIELDS.itemsize + 1)
    free = shutil.disk_usage(out).free
    if free < least:
        raise UserError(
            f"{out}: {size_text(free)} are free, at least {size_text(least)} are needed. Free space."
        )
    return f"disk: {size_text(least)} to {size_text(most)} in {out}, of which about {size_text(written)} stay"


def size_text(size: float) -> str:
    """Return a number of bytes in GiB or MiB."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def file_version(file: PartedFile) -> tuple[str, int, int]:
    """Return path, size and time of a file."""
    stat = file.path.stat()
    return str(file.path.resolve()), stat.st_size, stat.st_mtime_ns


def fill_store(
    store: TileStore, model: LoadedModel, files: Sequence[PartedFile], axes: ScanAxes, options: TileOptions,
    versions: Sequence[tuple[str, int, int]], on_progress: OnProgress,
) -> Cells:  # fmt: skip
    """Return the rows of all points; those of an earlier call with the same files, model and options are used."""
    state = json.dumps(
        [__version__, model.hash, model.schema.names, versions, axes.frame.to_json(), repr(options)]
    )
    path = store.folder / "state.json"
    cells = store.cells() if path.is_file() and path.read_text() == state else None
    if cells is not None:
        return cells
    shutil.rmtree(store.folder, ignore_errors=True)
    store.folder.mkdir(parents=True)
    done, total = 0, sum(file.count for file in files)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        on_progress("reading", done, total)

    try:
        write_text(path, state)
        return store.fill(files, axes, advance)
    except BaseException:
        shutil.rmtree(store.folder, ignore_errors=True)
        raise


def predict_tiles(
    model: LoadedModel, store: TileStore, cells: Cells, axes: ScanAxes, options: TileOptions, on_progress: OnProgress
) -> int:  # fmt: skip
    """Predict all tiles that are not finished, and return the number of all."""
    margin = int(np.ceil(options.points.margin / store.grid_size))
    most, edge = options.max_voxels or options.points.most, store.voxels_per_cell
    blend = options.points.blend and cells.voxels.sum() > options.points.most
    if blend:
        margin = window_edge(options.points.most)
    around = -(-margin // edge)
    tiles = cut_tiles(cells, margin=around, max_voxels=most, max_rows=options.max_rows)
    total = int(cells.count.sum())
    finished = store.finished()
    store.results.touch()
    done = 0
    for number, (low, high) in enumerate(tiles):
        core = np.flatnonzero(within(cells.xy, low, high))
        if number not in finished:
            near = np.flatnonzero(within(cells.xy, low - around, high + around))
            rows = store.read(cells, near)
            voxel = store.voxel_of(rows)
            first, last = low * edge, (high + 1) * edge - 1
            used = within(voxel[:, :2], first - margin, last + margin)
            rows, voxel = rows[used], voxel[used]
            results = _predict_rows(model, rows, voxel, axes, options, (first, last) if blend else None)
            store.write_results(cells, core, results[within(voxel[:, :2], first, last)])
            store.finish(number)
        done += int(cells.count[core].sum())
        on_progress("predicting", done, total)
    return len(tiles)


def _predict_rows(
    model: LoadedModel,
    rows: np.ndarray,
    voxel: np.ndarray,
    axes: ScanAxes,
    options: TileOptions,
    region: Region | None,
) -> np.ndarray:
    """Return the results of rows, records of ``FIELDS``."""
    pos, color, normal = (
        np.ascontiguousarray(rows[name]) if name in (rows.dtype.names or ()) else None
        for name in ("pos", "color", "normal")
    )
    assert pos is not None, "rows have positions"
    cloud = Cloud(source=axes.like.source, pos=pos, color=color, normal=normal)
    sample = with_height(
        sample_in_frame(model, cloud, slice(None), IDENTITY, []), model.features, ground=axes.ground
    )
    origin = voxel.min(axis=0) // ALIGNED * ALIGNED
    prediction = predict_scene(
        model.network, sample, grid_size=model.grid_size, features=model.features, options=options.points,
        origin=origin, region=region,
    )  # fmt: skip
    results = np.empty(len(rows), FIELDS)
    results["predicted_class"] = confident_labels(prediction, model, options.min_confidence)
    results["confidence"] = prediction.confidence
    return results


def write_files(
    model: LoadedModel, store: TileStore, cells: Cells, files: Sequence[PartedFile], out: Path, on_progress: OnProgress
) -> tuple[list[Path], np.ndarray]:  # fmt: skip
    """Write all files with their classes; return the paths and the shares of the classes ``(K,)``."""
    paths = [labeled_path(file.path, out) for file in files]
    counts = np.zeros(model.schema.num_classes + 1, np.int64)
    total, before, part = sum(file.count for file in files), 0, 0
    with atomic_paths(*paths) as temporaries:
        for file, temporary in zip(files, temporaries):
            stored = StoredLabels(store, cells, before=before, part=part)
            seen = 0

            def rows(start: int, stop: int, stored: StoredLabels = stored) -> tuple[np.ndarray, np.ndarray]:
                nonlocal seen
                label, confidence = stored.rows(start, stop)
                if stop > seen:  # writers may ask twice
                    counts[:] += np.bincount(label + 1, minlength=len(counts))
                    seen = stop
                    on_progress("writing", stored.before + stop, total)
                return label, confidence

            labels = PointLabels(count=file.count, rows=rows, schema=model.schema)
            WRITERS[file.path.suffix.lower()](file.path, temporary, labels)
            before, part = before + file.count, part + -(-file.count // PART)
    return paths, counts[1:] / max(1, total)
