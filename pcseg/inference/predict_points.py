"""Prediction on any point-cloud file: one class a point, in the file's order, whatever its units and axes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.data.alignment import IDENTITY, Frame, Units, Up, find_frame
from pcseg.data.io.clouds import Cloud, read_cloud
from pcseg.data.io.ply import write_ply
from pcseg.data.normals import estimate_normals
from pcseg.data.predictions import SavedPrediction, write_prediction
from pcseg.data.sample import Sample
from pcseg.errors import UserError
from pcseg.files import make_folder
from pcseg.inference.points import Fragments, choose_device, predict_scene
from pcseg.labels import IGNORE_INDEX, Palette, class_colors
from pcseg.views.layers.coloring import share


@dataclass(frozen=True, kw_only=True)
class PredictedCloud:
    """A cloud and what was predicted for it.

    Args:
        cloud: The points as their file gives them.
        saved: Classes and confidences, row by row; -1 and 0 where nothing could be predicted.
        remarks: What was found in the file and done, in plain language.
    """

    cloud: Cloud
    saved: SavedPrediction
    remarks: list[str]

    def write(self, folder: Path, *, palette: Palette = "canonical") -> tuple[Path, Path]:
        """Write ``<name>.npz`` and the coloured ``<name>.ply`` and return their paths.

        *Convention*: the PLY file has the coordinates of the source, not metres with z up, and a row for every
        point of it, also for those without a position.
        """
        name = self.cloud.source.stem
        arrays, picture = folder / f"{name}.npz", folder / f"{name}.ply"
        if self.cloud.source.resolve() in (arrays.resolve(), picture.resolve()):
            raise UserError(f"--out {folder}: the prediction would replace {self.cloud.source}; give another")
        write_prediction(arrays, self.saved)
        color = class_colors(self.saved.schema, palette)[self.saved.label]
        columns = dict(zip("xyz", self.cloud.pos.T)) | dict(zip(("red", "green", "blue"), color.T))
        write_ply(picture, columns | {"label": self.saved.label, "confidence": self.saved.confidence})
        return arrays, picture


def predict(
    cloud: Path,
    *,
    ckpt: Path,
    out: Path = Path("predictions"),
    units: Units = "auto",
    up: Up = "auto",
    fragments: Fragments = 1,
    points_per_pass: int = 400_000,
    margin: float = 1.0,
    palette: Palette = "canonical",
    device: str = "auto",
    progress_bar: bool = True,
) -> PredictedCloud:
    """Predict the class of every point of a point-cloud file.

    Writes ``out/<name>.npz`` (label, confidence and where they come from) and ``out/<name>.ply`` (coloured by
    class), with one row a point in the file's order.

    Args:
        cloud: A .ply, .pcd, .las, .laz, .e57, .xyz, .pts, .txt, .csv, .npy, .npz or .h5 file, or a prepared
            scene; labels are not needed.
        ckpt: Checkpoint written by training.
        out: Folder of the results.
        units: Unit of the file's coordinates.
        up: Axis of the file that points up.
        fragments: Points of a voxel that are shown to the model: 1 is the fastest, ``all`` shows every point.
        points_per_pass: Largest number of voxels in a pass, which bounds the memory.
        margin: Width in metres of the context around a block of a large cloud.
        palette: Colors of the classes; ``colorblind`` can be distinguished by color-blind readers.
        device: Where the model runs: ``auto``, ``cpu``, ``cuda`` or one of several GPUs such as ``cuda:1``.
        progress_bar: Show progress and time left.

    Raises:
        UserError: A checkpoint or file that is missing or damaged, or a field that the model needs, the
            file lacks and the checkpoint has no substitute for.
    """
    model = load_checkpoint(ckpt)
    model.network.to(choose_device(device))
    make_folder(out)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress_bar) as progress:
        task = progress.add_task(f"reading {cloud.name}", total=1)
        points = read_cloud(cloud, allow_empty=True)
        progress.update(task, description=f"predicting {cloud.name}")
        predicted = predict_cloud(
            model,
            points,
            units=units,
            up=up,
            fragments=fragments,
            points_per_pass=points_per_pass,
            margin=margin,
            on_progress=lambda share: progress.update(task, completed=share),
        )
    paths = predicted.write(out, palette=palette)
    predicted.remarks.append(f"wrote {paths[0]} and {paths[1]}")
    return predicted


def predict_cloud(
    model: LoadedModel,
    cloud: Cloud,
    *,
    units: Units = "auto",
    up: Up = "auto",
    fragments: Fragments = 1,
    points_per_pass: int = 400_000,
    margin: float = 1.0,
    on_progress: Callable[[float], None] | None = None,
) -> PredictedCloud:
    """Predict the class of every point of ``cloud``; arguments as in :func:`predict`.

    Points without a position, and strays far outside, get the class -1 with confidence 0.
    """
    start = time.perf_counter()
    rows, remarks = usable_rows(cloud)
    known = cloud.schema is not None or not len(rows)
    frame = IDENTITY if known else find_frame(cloud.pos[rows], units=units, up=up)
    remarks += frame.remarks
    sample = make_sample(model, cloud, rows, frame, remarks)
    prediction = predict_scene(
        model.network,
        sample,
        grid_size=model.grid_size,
        features=model.features,
        fragments=fragments,
        points_per_pass=points_per_pass,
        margin=margin,
        on_progress=on_progress,
    )
    seconds = time.perf_counter() - start
    label = np.full(len(cloud), IGNORE_INDEX, dtype=np.int16)
    confidence = np.zeros(len(cloud), dtype=np.float32)
    label[rows], confidence[rows] = prediction.label, prediction.confidence
    remarks.append(
        f"prediction: {len(rows):,} points in {seconds:.1f} s, {len(rows) / seconds:,.0f} points a second"
    )
    if len(rows):
        remarks += [
            f"classes: {class_shares(prediction.label, model.schema.names)}",
            f"confidence: {prediction.confidence.mean():.2f} on average",
        ]
    if cloud.label is not None and cloud.schema is not None and cloud.schema.names == model.schema.names:
        known = cloud.label >= 0
        remarks.append(f"right: {np.mean(label[known] == cloud.label[known]):.1%} of the labelled points")
    saved = SavedPrediction(
        label=label,
        confidence=confidence,
        schema=model.schema,
        source=cloud.source.name,
        checkpoint=model.hash,
        frame=frame,
    )
    return PredictedCloud(cloud=cloud, saved=saved, remarks=remarks)


def usable_rows(cloud: Cloud) -> tuple[np.ndarray, list[str]]:
    """The points that can be predicted, and remarks on those that cannot.

    Strays are farther outside the box of 98 % of the points than three times its size.
    """
    remarks = [f"read: {len(cloud):,} points from {cloud.source}"]
    rows = np.flatnonzero(cloud.finite)
    if len(rows) < len(cloud):
        remarks.append(f"{len(cloud) - len(rows):,} points have no position (NaN or infinite): no class")
    if not len(rows):
        return rows, remarks
    some = cloud.pos[rows[:: max(1, len(rows) // 200_000)]]
    low, high = np.percentile(some, (1, 99), axis=0)
    reach = 3 * np.linalg.norm(high - low) + 1e-6
    near = ((cloud.pos[rows] >= low - reach) & (cloud.pos[rows] <= high + reach)).all(axis=1)
    if not near.all():
        remarks.append(f"{np.count_nonzero(~near):,} strays lie far outside: no class")
    return rows[near], remarks


def make_sample(
    model: LoadedModel, cloud: Cloud, rows: np.ndarray, frame: Frame, remarks: list[str]
) -> Sample:
    """The points ``rows`` as the model wants them; what stands in for missing fields is added to ``remarks``.

    Raises:
        UserError: The model was trained on images, or needs a field that the cloud lacks, and its checkpoint has
            nothing instead.
    """
    if model.kind == "images":
        raise UserError(f"{model.path}: was trained on images; give the checkpoint of a point model")
    pos = frame.apply(cloud.pos[rows])
    normal = None
    if "normal" in model.features:
        if cloud.normal is not None:
            normal = frame.rotate(cloud.normal[rows])
        elif not len(pos):
            normal = np.empty((0, 3), dtype=np.float32)
        elif substitute(model, "normal", cloud) == "estimate":
            low, high = np.percentile(pos[:: max(1, len(pos) // 200_000)], (1, 99), axis=0)
            normal = estimate_normals(pos, towards=(low + high) / 2)
            remarks.append("normals: none in the file, estimated from neighbours")
    if cloud.color is not None:
        color = cloud.color[rows]
    elif "color" in model.features:
        mean = np.array(substitute(model, "color", cloud), dtype=np.float32)
        color = np.tile(mean, (len(rows), 1))
        text = ", ".join(f"{value:.0f}" for value in mean)
        remarks.append(f"colour: none in the file, taken as the model's substitute ({text}); expect less")
    else:
        color = np.zeros((len(rows), 3), dtype=np.uint8)
    nothing = np.full(len(rows), IGNORE_INDEX, dtype=np.int16)  # the smallest: there may be many points
    return Sample(
        name=cloud.source.name, pos=pos, color=color, label=nothing, instance=nothing, normal=normal
    )


def substitute(model: LoadedModel, field: str, cloud: Cloud) -> object:
    """What the checkpoint puts in the place of a missing field."""
    value = model.missing_fields.get(field)
    if value is None:
        raise UserError(f"{cloud.source}: has no {field}, which {model.path} was trained with")
    return value


def class_shares(label: np.ndarray, names: tuple[str, ...]) -> str:
    """Classes and their shares, the largest first."""
    count = np.bincount(label, minlength=len(names))
    order = [index for index in np.argsort(-count, kind="stable") if count[index]]
    return ", ".join(f"{names[index]} {share(int(count[index]), len(label))}" for index in order)
