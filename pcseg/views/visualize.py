"""Show a cloud, its prediction and the internals of a head: the command ``pcseg visualize``."""

from pathlib import Path
from typing import Literal

from PIL import Image
from rich import get_console
from rich.text import Text

from pcseg.data.alignment import Units, Up
from pcseg.data.indoor import Classes
from pcseg.data.io.clouds import read_cloud
from pcseg.data.predictions import find_prediction, read_prediction
from pcseg.errors import UserError
from pcseg.files import make_folder
from pcseg.labels import Palette
from pcseg.pretrained import DEFAULT
from pcseg.values import Few, Port, PositiveInt, checked
from pcseg.views.interactive.browser import MAX_POINTS, BrowserView
from pcseg.views.interactive.page import write_page
from pcseg.views.interactive.picking import describe
from pcseg.views.interactive.window import show
from pcseg.views.layers.coloring import By, Coloring, available
from pcseg.views.layers.head_layers import HEAD_MAPS, browse_layers, center_point, make_layers, nearest_point
from pcseg.views.render.cameras import Position, View, Viewpoint
from pcseg.views.render.charts import context_picture
from pcseg.views.render.pages import require_image_format, save_image
from pcseg.views.render.pictures import layers_picture, sheet_picture
from pcseg.views.subject import Subject, make_subject

Scale = float | Literal["object"]

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
"""Suffixes of files that are shown to image models."""

MIN_SIZE = 64
"""Smallest width and height of a picture: a smaller one has no room for its legend."""


@checked("--")
def visualize(
    cloud: Path,
    *,
    prediction: Path | None = None,
    ckpt: Path | None = None,
    baseline: Path | None = None,
    encoder: Path | None = None,
    scale: Scale = 0.5,
    units: Units = "auto",
    columns: str | None = None,
    up: Up = "auto",
    classes: Classes | None = None,
    by: By | None = None,
    of: str | None = None,
    pick: Position | None = None,
    palette: Palette = "canonical",
    png: Path | None = None,
    sheet: bool = False,
    size: tuple[Few, Few] | None = None,
    html: Path | None = None,
    browser: bool = False,
    host: str = "127.0.0.1",
    port: Port = 8080,
    max_points: PositiveInt = MAX_POINTS,
    view: View = "inside",
    eye: Position | None = None,
    look_at: Position | None = None,
) -> None:
    """Show a cloud in a window or a browser, or write a picture or a page of it.

    Without --png, --html and --browser a window opens. Options, in this order: the data (cloud to classes), what the
    colors mean (by to palette), pictures (png to size), pages and browsers (html to max_points), and the camera
    (view to look_at).

    Args:
        cloud: A file of any format that predict reads, or a prepared scene (.h5); with the checkpoint of an image
            model an image.
        prediction: Prediction of this cloud (.npz or _labeled), or a folder that contains it.
        ckpt: Checkpoint of a model to predict with; shows the internals of its head. Default, only for --by prediction
            and --by confidence: indoor-small, which ships with pcseg.
        baseline: Checkpoint of a model to compare with, for --by gain.
        encoder: Weights of Utonia, Concerto or Sonata as published, or the name utonia, for --by features.
        scale: Units of Utonia per meter: 0.5 for rooms, 0.2 for outdoor LiDAR, 4 for table-top scenes, object for
            single objects.
        units: Unit of the file.
        columns: Names of all columns of the file in order, such as x,y,z,red,green,blue; - ignores a column.
        up: Axis of the file that points up.
        classes: Label set that a model of the indoor classes predicts; without the internals of its head. Default
            model: indoor-small.
        by: Meaning of the colors; default: features with --encoder, otherwise prediction, color or height, the
            first that exists. features shows their principal components; affinity (CTNet),
            codeword (EncNet), attention (CCNet), slabs (slab context), gain and context (charts, with --png) need
            --ckpt.
        of: Name of a single class, for --by affinity and --by slabs, or number of a single codeword, for --by
            codeword.
        pick: Point whose values are printed and whose attention is shown, "[x, y, z]" in meters with z up (in an
            image "[column, row, 0]").
        palette: Colors of the classes; colorblind is distinct for color-blind readers.
        png: Picture to write; the suffix gives the format (.png, .jpg, .webp).
        sheet: Draw four panels side by side: color, true label, prediction and error.
        size: "[width, height]" of the picture in pixels; default: 1280 x 720, a sheet 1840 x 1040.
        html: Page to write: the cloud with all its layers for any web browser, works offline.
        browser: Serve a view for a web browser; click a point to see its values.
        host: Address to serve on; 0.0.0.0 lets other machines connect.
        port: Port to serve on; if it is in use, the next free one is taken.
        max_points: Maximum number of points that the browser draws; with a graphics card 1000000 is fine.
        view: inside (from a corner at eye height), top (from above at an angle, without the ceiling) or plan
            (straight down).
        eye: Camera position, "[x, y, z]" in meters with z up.
        look_at: Position in the center of the view, likewise.
    """
    if png is None and (sheet or size is not None):
        raise UserError(f"--{'sheet' if sheet else 'size'}: applies to pictures. Pass --png FILE.")
    if of is not None and by not in ("affinity", "codeword", "slabs"):
        raise UserError(f"--of {of}: needs --by affinity, --by codeword or --by slabs.")
    if size is not None and min(size) < MIN_SIZE:
        raise UserError(f"--size {list(size)}: too small. Use at least [{MIN_SIZE}, {MIN_SIZE}].")
    require_shown(by, classes, pictures_only=png is not None and html is None and not browser)
    prepare_outputs(png, html)
    if (classes is not None or by in ("prediction", "confidence")) and prediction is ckpt is encoder is None:
        ckpt = DEFAULT
    subject = read_subject(
        cloud, prediction=prediction, ckpt=ckpt, baseline=baseline, encoder=encoder, scale=scale, units=units,
        up=up, columns=columns, classes=classes,
    )  # fmt: skip
    point = find_pick(subject, pick)
    if pick is not None and point is not None:
        for heading, text in describe(subject, point):
            report(f"{heading}: {text}")
    viewpoint = Viewpoint(view=view, eye=eye, look_at=look_at)
    by = "features" if by is None and encoder is not None else by
    by = by or next(kind for kind in ("prediction", "rgb", "height") if kind in available(subject))
    coloring = Coloring(by=by, of=of, point=point, palette=palette)
    if png is not None:
        write_picture(draw(subject, coloring, sheet=sheet, viewpoint=viewpoint, size=size), png)
    if html is not None:
        save_page(html, subject, coloring)
    if browser:
        view_in_browser = BrowserView(
            subject, coloring, viewpoint=viewpoint, host=host, port=port, max_points=max_points,
            charts=charts_of(subject, palette),
        )  # fmt: skip
        report(view_in_browser.invitation(host))
        view_in_browser.wait()
    elif png is None and html is None:
        show(subject, coloring, viewpoint=viewpoint, report=report)


def require_shown(by: By | None, classes: Classes | None, *, pictures_only: bool) -> None:
    """Raise :class:`UserError` if a meaning of the colors does not fit the other options."""
    if by == "context" and not pictures_only:
        raise UserError(
            "--by context: draws charts. Use it with --png FILE and without --html and --browser."
        )
    if classes is not None and by in (*HEAD_MAPS, "context"):
        raise UserError(f"--classes {classes}: does not show --by {by}, internals of the head. Leave it out.")


def prepare_outputs(png: Path | None, html: Path | None) -> None:
    """Create the folders of the outputs; :class:`UserError` if they cannot be written."""
    for path in filter(None, (png, html)):
        if path.is_dir():
            raise UserError(f"{path}: a directory. Pass the name of a file.")
        make_folder(path.parent)
    if png is not None:
        require_image_format(png)


def read_subject(
    path: Path,
    *,
    prediction: Path | None = None,
    ckpt: Path | None = None,
    baseline: Path | None = None,
    encoder: Path | None = None,
    scale: Scale = 0.5,
    units: Units = "auto",
    up: Up = "auto",
    columns: str | None = None,
    classes: Classes | None = None,
) -> Subject:
    """Read a cloud with its prediction, or predict a cloud or an image with ``ckpt``."""
    is_image = path.suffix.lower() in IMAGES
    if sum(option is not None for option in (prediction, ckpt, encoder)) > 1:
        raise UserError("--prediction, --ckpt and --encoder: pass only one of them.")
    if classes is not None and (ckpt is None or baseline is not None or is_image):
        raise UserError(f"--classes {classes}: applies to predictions of one point model. Leave it out.")
    if baseline is not None and ckpt is None:
        raise UserError("--baseline: needs --ckpt, the model that is compared with it.")
    if is_image and ckpt is None:
        raise UserError(f"{path}: an image. Pass --ckpt FILE, the checkpoint of an image model.")
    saved = None
    if prediction is not None:
        file = find_prediction(prediction, path)
        saved = read_prediction(file)
        report(f"{file}: predicted by checkpoint {saved.checkpoint or 'not stated'}")
    if encoder is not None:
        from pcseg.views.layers.feature_colors import encode_cloud

        subject = encode_cloud(encoder, read_cloud(path, columns=columns), scale=scale, units=units, up=up)
    elif ckpt is None:
        subject = make_subject(read_cloud(path, columns=columns), saved, units=units, up=up)
    else:  # imported here: loading a model takes seconds
        from pcseg.checkpoint import load_checkpoint
        from pcseg.inference.class_sets import with_classes
        from pcseg.inference.clouds import predict_cloud
        from pcseg.inference.points import PointOptions
        from pcseg.views.layers.explain_images import explain_image
        from pcseg.views.layers.explain_points import explain_cloud

        other = None if baseline is None else load_checkpoint(baseline)
        if is_image:
            subject = explain_image(load_checkpoint(ckpt), path, baseline=other)
        elif classes is not None:
            model, cloud = with_classes(load_checkpoint(ckpt), classes), read_cloud(path, columns=columns)
            options = PointOptions().for_model(model)
            subject = make_subject(cloud, predict_cloud(model, cloud, units=units, up=up, options=options))
        else:
            subject = explain_cloud(
                load_checkpoint(ckpt), read_cloud(path, columns=columns), baseline=other, units=units, up=up
            )
    report(f"{path}: {len(subject):,} points; " + "; ".join(subject.remarks))
    return subject


def find_pick(subject: Subject, pick: Position | None) -> int | None:
    """Return the row of the picked point; by default the center if the head has attention to show."""
    if pick is None:
        return center_point(subject) if subject.maps is not None and subject.maps.attend is not None else None
    if subject.pixels is not None:  # subjects have y up, the option has rows
        pick = (pick[0], subject.pixels[0] - 1 - pick[1], 0.0)
    return nearest_point(subject, pick)


def draw(
    subject: Subject, coloring: Coloring, *, sheet: bool, viewpoint: Viewpoint, size: tuple[int, int] | None
) -> Image.Image:
    """Draw a sheet, charts, or the layers of one coloring."""
    by, palette = coloring.by, coloring.palette
    if sheet:
        return sheet_picture(subject, viewpoint=viewpoint, size=size or (1840, 1040), palette=palette)
    if by == "context":
        return context_picture(subject, size=size, palette=palette)
    size = size or (1280, 720)
    layers = make_layers(subject, coloring)
    title = layers[0].heading if len(layers) == 1 else by
    if by in HEAD_MAPS and subject.maps is not None:
        title = f"{subject.maps.head}, {title}"
    mark = coloring.point if by in ("attention", "slabs") else None
    return layers_picture(subject, layers, title=title, viewpoint=viewpoint, size=size, mark=mark)


def charts_of(subject: Subject, palette: Palette) -> Image.Image | None:
    """Draw the charts of the whole cloud if its head computes any."""
    if subject.maps is None or (subject.maps.channel is None and subject.maps.slabs is None):
        return None
    return context_picture(subject, palette=palette)


def save_page(path: Path, subject: Subject, coloring: Coloring) -> None:
    """Write the page with all layers."""
    layers, first = browse_layers(subject, coloring)
    charts = charts_of(subject, coloring.palette)
    count = write_page(path, subject, layers, first=first, mark=coloring.point, charts=charts)
    size = path.stat().st_size / 1e6
    report(f"wrote {path}, {count:,} of {len(subject):,} points, {size:.1f} MB")


def write_picture(image: Image.Image, path: Path) -> None:
    """Write a picture and report it."""
    save_image(image, path)
    report(f"wrote {path}, {image.width} x {image.height}")


def report(text: str | Text) -> None:
    """Print a line."""
    get_console().print(text, markup=False, highlight=False, soft_wrap=True)
