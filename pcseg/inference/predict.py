"""Predict a point cloud or an image with a checkpoint: the command ``pcseg predict`` and :func:`pcseg.predict`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from pcseg.checkpoint import LoadedModel, load_checkpoint
from pcseg.data.alignment import Units, Up
from pcseg.data.images.files import read_colors
from pcseg.data.indoor import Classes
from pcseg.data.io.clouds import CLOUD_READERS, Cloud, read_cloud
from pcseg.data.io.parts import open_parts
from pcseg.data.room_frame import GivenAxes
from pcseg.errors import UserError
from pcseg.files import atomic_paths, output_folder
from pcseg.inference.class_sets import with_classes
from pcseg.inference.clouds import CloudPrediction, class_shares, output_paths, predict_cloud
from pcseg.inference.device import Precision, choose_device
from pcseg.inference.images import ImageOptions, image_model
from pcseg.inference.memory import DEFAULT as DEFAULT_MEMORY
from pcseg.inference.memory import choose_tiles, parse_memory, physical_memory, within_memory
from pcseg.inference.objects import as_cloud
from pcseg.inference.options import refuse_options
from pcseg.inference.points import Fragments, PointOptions
from pcseg.inference.tiles import TileOptions, predict_large
from pcseg.labels import LabelSchema, Palette, class_colors
from pcseg.pretrained import DEFAULT
from pcseg.values import Meters, PositiveInt, Probability, checked

OVERLAY_WEIGHT = 0.55
"""Weight of the class colors in an overlay."""


class Photo(NamedTuple):
    """An image: its file and its colors ``(H, W, 3)`` uint8, upright."""

    source: Path
    colors: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ImagePrediction:
    """An image and its prediction.

    Args:
        label: Class of each pixel, ``(H, W)`` int16.
        confidence: Probability of this class, ``(H, W)`` float32.
        remarks: Lines for the user.
    """

    photo: Photo
    label: np.ndarray
    confidence: np.ndarray
    schema: LabelSchema
    remarks: list[str]

    def write(self, folder: Path | str, *, palette: Palette = "canonical") -> tuple[Path, Path]:
        """Write ``<name>.png`` (classes as a palette image) and ``<name>_overlay.jpg`` and return their paths."""
        index, overlay = output_paths(self.photo.source, folder, "images")
        table = class_colors(self.schema, palette)
        classes = Image.fromarray(self.label.astype(np.uint8))
        classes.putpalette(table.tobytes())
        mixed = (1 - OVERLAY_WEIGHT) * self.photo.colors + OVERLAY_WEIGHT * table[self.label]
        with atomic_paths(index, overlay) as (first, second):
            classes.save(first, format="PNG")
            Image.fromarray(mixed.astype(np.uint8)).save(second, format="JPEG")
        return index, overlay


@checked("--")
def predict_file(
    source: list[Path] | Path,
    *,
    ckpt: Path = DEFAULT,
    out: Path = Path("predictions"),
    units: Units = "auto",
    up: Up = "auto",
    yaw: float | None = None,
    level: bool = True,
    columns: str | None = None,
    classes: Classes | None = None,
    min_confidence: Probability = 0.0,
    fragments: Fragments = 1,
    points_per_pass: PositiveInt | None = None,
    margin: Meters = 1.0,
    memory: str | None = None,
    together: bool = False,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
    palette: Palette = "canonical",
    device: str = "auto",
    precision: Precision = "fp32",
    progress_bar: bool = True,
) -> list[str]:
    """Predict the class of every point of a point cloud, or of every pixel of an image.

    A point model writes ``OUT/<name>.npz`` (class and confidence), ``OUT/<name>.ply`` (colored by class), and
    ``OUT/<name>_labeled`` in the format of the file (all its content, class and confidence), with one row per point
    in the order of the file. An image model writes ``OUT/<name>.png`` (8 bits per pixel: the class, with
    a palette of class colors) and ``OUT/<name>_overlay.jpg``. Photos are rotated upright according to EXIF.

    Point clouds that exceed ``memory`` are predicted in tiles, and only ``OUT/<name>_labeled`` is written. An
    interrupted command resumes when it is run again.

    Args:
        source: Point clouds (.ply, .pcd, .las, .laz, .e57, .xyz, .pts, .txt, .csv, .npy, .npz, .h5) or images.
            Labels are not needed.
        ckpt: Checkpoint of a point model or an image model; default: indoor-small, which ships with pcseg.
        out: Folder of the results.
        units: Points: unit of the coordinates in the file.
        up: Points: axis of the file that points up.
        yaw: Points: angle from the x axis of the file to a wall in degrees, for models that see scans along their
            walls.
        level: Points: level a small tilt, for the same models.
        columns: Points: names of all columns of the file in order, such as x,y,z,red,green,blue; - ignores a column.
        classes: Points: label set that a model of the indoor classes predicts; default: indoor.
        min_confidence: Points: points of a lower confidence get no class.
        fragments: Points: number of points per voxel that the model sees; 1 is the fastest, ``all`` uses every point.
        points_per_pass: Points: maximum number of voxels per forward pass; larger scans are cut. Default: twice
            the crops of training for heads with context, otherwise 400,000.
        margin: Points: width in meters of the context around a block, for heads without context.
        memory: Points: memory that the command may take, such as 4GiB; default: 3GiB.
        together: Points: predict several files, such as the scans of one building, as one cloud in tiles.
        scales: Images: scale factors; probabilities are averaged over them, such as "[0.75, 1, 1.25]".
        flip: Images: also average over the mirrored image.
        palette: Colors of the classes; ``colorblind`` can be distinguished by color-blind readers.
        device: ``auto``, ``cpu``, ``cuda``, or one of several GPUs such as ``cuda:1``.
        precision: Arithmetic of the model. ``bf16``, ``fp16`` and ``tf32`` are for GPUs.
        progress_bar: Show progress and remaining time.

    Raises:
        UserError: A checkpoint or file is missing or damaged, an option does not apply to the model, or the file lacks
            a field that the model needs and its checkpoint has no substitute for.
    """
    model = load_checkpoint(ckpt)
    of_points = {"units": units, "up": up, "yaw": yaw, "level": level, "columns": columns, "classes": classes,
                 "min_confidence": min_confidence, "fragments": fragments, "points_per_pass": points_per_pass,
                 "margin": margin, "memory": memory, "together": together}  # fmt: skip
    of_images = {"scales": scales, "flip": flip}
    refuse_options(predict_file, model, of_images if model.kind == "points" else of_points)
    point_options = PointOptions(
        fragments=fragments, points_per_pass=points_per_pass, margin=margin, precision=precision
    )
    image_options = ImageOptions(scales=scales, flip=flip, precision=precision)
    sources = [source] if isinstance(source, Path) else list(source)
    stems = [path.stem for path in sources]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise UserError(f"{twice}: several files have this name. Predict them with different --out.")
    axes = GivenAxes(yaw=yaw, level=level)
    limit = None if memory is None else parse_memory(memory)
    lines: list[str] = []
    for group in [sources] if together else [[path] for path in sources]:
        path = group[0]
        if model.kind == "points" and (together or choose_tiles(path, limit, columns=columns)):
            tiles = TileOptions(points=point_options.for_model(model), units=units, up=up, axes=axes,
                                min_confidence=min_confidence)  # fmt: skip
            files = [open_parts(path, columns=columns) for path in group]
            of_classes = model if classes is None else with_classes(model, classes)
            of_classes.network.to(choose_device(device, precision))
            tiles = within_memory(tiles, limit or DEFAULT_MEMORY)
            lines += predict_large(of_classes, files, out, options=tiles, progress_bar=progress_bar)
            continue
        lines += _predict_whole(
            path, model, out, columns=columns, palette=palette, progress_bar=progress_bar, units=units, up=up,
            axes=axes, classes=classes, min_confidence=min_confidence, point_options=point_options,
            image_options=image_options, device=device,
        )  # fmt: skip
    return lines


def _predict_whole(
    path: Path, model: LoadedModel, out: Path, *, columns: str | None, palette: Palette, progress_bar: bool,
    **options: Any,
) -> list[str]:  # fmt: skip
    """Predict a file in one piece, with ``options`` of :func:`predict`."""
    content = read_source(path, model, columns=columns)
    output_paths(path, out, model.kind)
    with (
        output_folder(out, part=path.stem),
        Progress(console=Console(stderr=True), disable=not progress_bar) as progress,
    ):
        task = progress.add_task(escape(path.name), total=1)
        prediction = predict(
            content, model, on_progress=lambda share: progress.update(task, completed=share), **options
        )
        paths = prediction.write(out, palette=palette)
    return [*prediction.remarks, f"wrote {', '.join(map(str, paths))}"]


def predict(
    source: Any,
    ckpt: LoadedModel | Path | str = DEFAULT,
    *,
    units: Units = "auto",
    up: Up = "auto",
    axes: GivenAxes = GivenAxes(),  # noqa: B008 - immutable
    classes: Classes | None = None,
    min_confidence: Probability = 0.0,
    point_options: PointOptions = PointOptions(),  # noqa: B008 - immutable
    image_options: ImageOptions = ImageOptions(),  # noqa: B008 - immutable
    device: str = "auto",
    on_progress: Callable[[float], None] | None = None,
) -> CloudPrediction | ImagePrediction:
    """Predict the class of every point of a cloud, or of every pixel of an image, without writing files.

    Args:
        source: A file, a cloud from :func:`pcseg.read_cloud`, or one of Open3D or PyTorch Geometric, see
            :func:`pcseg.inference.objects.as_cloud`.
        ckpt: A checkpoint file, or a model from :func:`pcseg.load_checkpoint`; default: the model that ships with
            pcseg.
        units, up, axes, classes, min_confidence, device: As for ``pcseg predict``.
        point_options, image_options: Options of the model.
        on_progress: Function that is called with the finished share of a cloud.

    Returns:
        ``label`` and ``confidence`` of every point or pixel, ``schema`` with the class names, ``remarks``, and
        ``write(folder)``.

    Raises:
        UserError: A file is missing or damaged, the model does not fit the file, or the cloud lacks a field that the
            model needs.
    """
    model = ckpt if isinstance(ckpt, LoadedModel) else load_checkpoint(Path(ckpt))
    options = point_options if model.kind == "points" else image_options
    model.network.to(choose_device(device, options.precision))
    in_memory = not isinstance(source, Cloud | Photo | Path | str)
    content = read_source(as_cloud(source) if in_memory else source, model)
    if isinstance(content, Photo):
        return predict_photo(model, content, image_options)
    if classes is not None:
        model = with_classes(model, classes)
    return predict_cloud(
        model, content, units=units, up=up, axes=axes, min_confidence=min_confidence,
        options=point_options.for_model(model), on_progress=on_progress,
    )  # fmt: skip


def read_source(
    source: Cloud | Photo | Path | str, model: LoadedModel, *, columns: str | None = None
) -> Cloud | Photo:
    """Read what a model predicts; raise :class:`UserError` for a file of the other kind."""
    if isinstance(source, Photo):
        return source
    path = source.source if isinstance(source, Cloud) else Path(source)
    if model.kind == "points":
        return source if isinstance(source, Cloud) else read_cloud(path, columns=columns, allow_empty=True)
    if isinstance(source, Cloud) or path.suffix.lower() in CLOUD_READERS:
        raise UserError(
            f"{path}: a point cloud, but {model.path} is an image model. Choose the checkpoint of a point model."
        )
    if not path.is_file():
        raise UserError(f"{path}: no such file. Give the path of an image.")
    return Photo(path, read_colors(path, upright=True))


def predict_photo(model: LoadedModel, photo: Photo, options: ImageOptions) -> ImagePrediction:
    """Predict the class of every pixel; raise :class:`UserError` if that exceeds the memory."""
    path, colors = photo
    height, width = colors.shape[:2]
    scores = model.schema.num_classes * (1 + (len(options.scales) > 1 or options.flip))
    needed = 4 * height * width * (scores + 8)  # floats of the scores and of colors
    if needed > physical_memory():
        raise UserError(
            f"{path}: {width} x {height} pixels need {needed >> 30} GiB of memory. Resize or cut it."
        )
    probability = image_model(model).probabilities(colors, options, name=str(path))
    confidence, label = probability.max(0)
    shares = np.bincount(label.numpy().ravel(), minlength=model.schema.num_classes) / label.numel()
    return ImagePrediction(
        photo=photo,
        label=label.numpy().astype(np.int16),
        confidence=confidence.numpy(),
        schema=model.schema,
        remarks=[
            f"read: {path}, {width} x {height} pixels",
            f"classes: {class_shares(shares, model.schema)}",
            f"confidence: {float(confidence.mean()):.2f} on average",
        ],
    )
