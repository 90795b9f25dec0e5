"""See a cloud, what was predicted for it and what the head did: ``python scripts/visualize.py ROOM [--ckpt CKPT]``."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from pcseg.cli import run
from pcseg.data.alignment import Units, Up
from pcseg.data.io.clouds import read_cloud
from pcseg.data.predictions import SavedPrediction, find_prediction, read_prediction
from pcseg.errors import UserError
from pcseg.files import atomic_path, make_folder
from pcseg.labels import Palette
from pcseg.views.interactive.browser import MAX_POINTS, BrowserView
from pcseg.views.interactive.html import write_page
from pcseg.views.interactive.window import show
from pcseg.views.layers.coloring import By, available
from pcseg.views.layers.head_layers import HAS, all_layers, head_layers, middle_point, nearest_point
from pcseg.views.render.cameras import View
from pcseg.views.render.charts import context_picture
from pcseg.views.render.panels import panels_picture
from pcseg.views.render.pictures import compare_picture, picture
from pcseg.views.render.side_by_side import PANEL, beside_picture, both_contexts, camera_of_frame
from pcseg.views.subject import Subject, make_subject

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
"""Endings of files that are shown to image models."""

SMALLEST = 64
"""Fewest pixels of a side of a picture: below, its legend has no room."""

# a model and all that it stands on are imported where one is asked for: that takes seconds


def visualize(
    cloud: Path,
    *,
    prediction: Path | None = None,
    ckpt: Path | None = None,
    plain: Path | None = None,
    frame: Path | None = None,
    frame_ckpt: Path | None = None,
    frame_plain: Path | None = None,
    by: By | None = None,
    of: str | None = None,
    pick: tuple[float, float, float] | None = None,
    png: Path | None = None,
    html: Path | None = None,
    browser: bool = False,
    port: int = 8080,
    max_points: int = MAX_POINTS,
    sheet: bool = False,
    view: View = "inside",
    eye: tuple[float, float, float] | None = None,
    look_at: tuple[float, float, float] | None = None,
    size: tuple[int, int] | None = None,
    palette: Palette = "canonical",
    shade: bool = True,
    units: Units = "auto",
    up: Up = "auto",
) -> None:
    """Show a cloud in a window or a browser, or write a picture or a page of it.

    Args:
        cloud: A file of any kind that scripts/predict.py reads, or a prepared scene (.h5); with the checkpoint of an
            image model a picture.
        prediction: Prediction of this cloud (.npz), or a folder that holds it.
        ckpt: Checkpoint of a model to predict with; shows what its head does.
        plain: Checkpoint of a model with a plain head to compare with, for "gain".
        frame: Frame of this room (<room>/color/<name>.jpg with its pose): the picture shows what the heads do with it
            and, seen from the same place, with the points. Needs ckpt, frame_ckpt and png; views are 400 pixels wide.
        frame_ckpt: Checkpoint of the image model that sees the frame.
        frame_plain: Checkpoint of an image model with a plain head, for "gain" of the frame.
        by: What colours mean; without a value the prediction, else the colour, else the height. affinity (CTNet),
            codeword (EncNet), attention (CCNet), gain (with plain) and context (charts, with png) need ckpt.
        of: The one class for affinity, or the one codeword; without it all are shown.
        pick: The point that looks, for attention, "[x, y, z]" in metres with z up (in a picture pixels, z 0).
        png: Picture to write; without it, html and browser a window opens.
        html: Page to write: the cloud with all its colours for any web browser, without a network.
        browser: Serve a view for a web browser; a click on a point says what is known of it.
        port: Where the browser finds it on this machine.
        max_points: The browser draws at most so many points, evenly chosen; a click means one of all. With a graphics
            card it can be 1000000.
        sheet: Write four views side by side: colour, true label, prediction and error.
        view: inside (from a corner at eye height), top (bird's eye, without the ceiling) or plan (straight down).
        eye: Place of the camera, "[x, y, z]" in metres with z up.
        look_at: Place in the middle of the picture, likewise.
        size: "[width, height]" of the picture; 1280 x 720, a sheet 1840 x 1040.
        palette: Colors of the classes; ``colorblind`` can be distinguished by color-blind readers.
        shade: Darken edges; without it colours are exactly those of the legend.
        units: Unit of the file.
        up: Axis of the file that points up.
    """
    if (frame, frame_ckpt, frame_plain) != (None,) * 3 and None in (frame, frame_ckpt, ckpt, png):
        raise UserError("--frame stands beside points: give --frame, --frame_ckpt, --ckpt and --png together")
    if frame is not None and by == "gain" and None in (plain, frame_plain):
        raise UserError(
            "--by gain of a frame beside points: give --plain and --frame_plain, one to compare each with"
        )
    if by == "context" and (png is None or html is not None or browser):
        raise UserError(
            "--by context is a picture of charts: give --png FILE; --html and --browser show them with every other --by"
        )
    prepare_places(png, html, size=size)
    if cloud.suffix.lower() in PICTURES:
        subject = read_picture(cloud, ckpt, plain)
    else:
        subject = read_subject(cloud, prediction, ckpt, plain, units=units, up=up)
    print(f"{cloud}: {len(subject):,} points; " + "; ".join(subject.remarks))
    point = None if pick is None else nearest_point(subject, pick)
    if frame is not None and frame_ckpt is not None and png is not None:
        image = draw_beside(
            subject, frame, frame_ckpt, by,
            plain=frame_plain, of=of, point=point, palette=palette, shade=shade,
        )  # fmt: skip
        save(image, png)
        return
    by = by or next(way for way in ("prediction", "rgb", "height") if way in available(subject))
    if png is not None and sheet:
        image = compare_picture(subject, view=view, size=size or (1840, 1040), palette=palette, shade=shade)
        save(image, png)
    elif png is not None:
        camera = {"view": view, "eye": eye, "look_at": look_at, "size": size or (1280, 720), "shade": shade}
        save(make_picture(subject, by, of=of, point=point, palette=palette, camera=camera), png)
    elif sheet:
        raise UserError("--sheet is a picture; give --png FILE too")
    if html is not None:
        save_page(html, subject, by, point=point, palette=palette)
    if browser:
        charts = make_charts(subject, palette=palette)
        serve(BrowserView(subject, by, palette=palette, port=port, max_points=max_points, charts=charts))
    elif png is None and html is None:
        show(subject, by, palette=palette, point=point, tell=print)


def prepare_places(*files: Path | None, size: tuple[int, int] | None) -> None:
    """Make the folders of what will be written; :class:`UserError` if it has no place or no pixels."""
    if size is not None and min(size) < SMALLEST:
        raise UserError(f"--size {list(size)}: too small; give [{SMALLEST}, {SMALLEST}] or more")
    for path in filter(None, files):
        if path.is_dir():
            raise UserError(f"{path}: a folder; give the name of a file")
        make_folder(path.parent)


def read_subject(
    cloud: Path, prediction: Path | None, ckpt: Path | None, plain: Path | None, *, units: Units, up: Up
) -> Subject:
    """The cloud with its prediction: read, or made by ``ckpt``."""
    if prediction is not None and ckpt is not None:
        raise UserError("give --prediction or --ckpt, not both")
    points = read_cloud(cloud)
    saved = None
    if prediction is not None:
        place = find_prediction(prediction, cloud)
        saved = read_prediction(place)
        print(f"prediction: {place}, by checkpoint {saved.checkpoint}")
    if ckpt is None:
        if plain is not None:
            raise UserError("--plain is compared with --ckpt; give that too")
        return make_subject(points, saved, units=units, up=up)
    from pcseg.checkpoint import load_checkpoint
    from pcseg.views.layers.explain_points import explain_cloud

    model = load_checkpoint(ckpt)
    explained = explain_cloud(
        model, points, plain=None if plain is None else load_checkpoint(plain), units=units, up=up
    )
    maps = explained.maps
    saved = SavedPrediction(
        label=maps.label, confidence=maps.confidence, schema=model.schema, source=cloud.name,
        checkpoint=model.hash, frame=explained.frame,
    )  # fmt: skip
    subject = make_subject(points, saved, maps=maps, units=units, up=up)
    remarks = dict.fromkeys((*explained.remarks, *subject.remarks))  # both say what the frame is
    return replace(subject, remarks=tuple(remarks))


def read_picture(path: Path, ckpt: Path | None, plain: Path | None) -> Subject:
    """A picture as an image model sees it."""
    if ckpt is None:
        raise UserError(f"{path}: a picture; give --ckpt FILE of an image model to see what it does with it")
    from pcseg.checkpoint import load_checkpoint
    from pcseg.views.layers.explain_images import explain_picture

    other = None if plain is None else load_checkpoint(plain)
    return explain_picture(load_checkpoint(ckpt), path, plain=other)


def draw_beside(
    subject: Subject,
    frame: Path,
    ckpt: Path,
    by: By | None,
    *,
    plain: Path | None,
    of: str | None,
    point: int | None,
    palette: Palette,
    shade: bool,
) -> Image.Image:
    """The frame as the image model of ``ckpt`` sees it, above the points from the place where it was taken."""
    from pcseg.evaluation.backprojection import read_frame

    taken = read_frame(frame)
    picture = read_picture(frame, ckpt, plain)
    print(f"{frame}: " + "; ".join(picture.remarks))
    if by == "context":
        return both_contexts(picture, subject, palette=palette)
    with Image.open(frame) as image:
        size = (image.height, image.width)
    camera = camera_of_frame(taken.pose, taken.color_matrix, size=size, width=PANEL)
    return beside_picture(picture, subject, camera, by=by, of=of, pick=point, palette=palette, shade=shade)


def make_charts(subject: Subject, *, palette: Palette) -> Image.Image | None:
    """Charts of what the head keeps of the whole cloud, if it does."""
    if subject.maps is None or subject.maps.channel is None or subject.schema is None:
        return None
    return context_picture(
        subject.name, subject.maps, subject.schema, palette=palette, whole=whole_of(subject)
    )


def whole_of(subject: Subject) -> str:
    """What the points of a subject are together."""
    return "cloud" if subject.pixels is None else "picture"


def make_picture(
    subject: Subject, by: By, *, of: str | None, point: int | None, palette: Palette, camera: dict
) -> Image.Image:
    """The picture of one way to colour: one view, or panels for a head's classes, codewords or recurrences."""
    if by == "context":
        if subject.maps is None or subject.schema is None:
            raise UserError("colours by context show what a head does; give --ckpt FILE")
        return context_picture(
            subject.name,
            subject.maps,
            subject.schema,
            size=camera["size"],
            palette=palette,
            whole=whole_of(subject),
        )
    if by not in HAS:
        return picture(subject, by, palette=palette, **camera)
    if by == "attention" and point is None:
        point = middle_point(subject)
    layers = head_layers(subject, by, of=of, point=point, palette=palette)
    head = subject.maps.head if subject.maps is not None else ""
    title = layers[0].title if len(layers) == 1 else TITLES[by]
    mark = None if by != "attention" or point is None else subject.pos[point]
    return panels_picture(subject, layers, title=f"{title}, {head}", mark=mark, **camera)


TITLES: dict[str, str] = {
    "affinity": "affinity to classes",
    "codeword": "codewords",
    "attention": "what one point sees",
}


def save_page(path: Path, subject: Subject, by: By, *, point: int | None, palette: Palette) -> None:
    """Write the page with all colourings and say so."""
    if subject.maps is not None and subject.maps.attend is not None and point is None:
        point = middle_point(subject)
    layers = all_layers(subject, palette=palette, point=point)
    ways = [layer.by for layer in layers]
    if by not in ways:
        raise UserError(
            f"{subject.name}: nothing to colour by {by}; choose one of {', '.join(dict.fromkeys(ways))}"
        )
    charts = make_charts(subject, palette=palette)
    count = write_page(path, subject, layers, first=ways.index(by), mark=point, charts=charts)
    print(f"wrote {path}, {count:,} of {len(subject):,} points, {path.stat().st_size / 1e6:.1f} MB")


def serve(page: BrowserView) -> None:
    """Keep the page open until the command is interrupted."""
    if len(page.drawn) < len(page.subject):
        print(f"the browser draws {len(page.drawn):,} points; --max_points N for more")
    print(f"open http://localhost:{page.port} in a browser; end with Ctrl+C")
    try:
        page.server.sleep_forever()
    except KeyboardInterrupt:
        page.stop()


def save(image: Image.Image, path: Path) -> None:
    """Write a PNG file atomically and print its name."""
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")
    print(f"wrote {path}, {image.width} x {image.height}")


if __name__ == "__main__":
    run(visualize)
