"""See a cloud and what was predicted for it: ``python scripts/visualize.py ROOM [--prediction NPZ] [--png FILE]``."""

from pathlib import Path

from PIL import Image

from pcseg.cli import run
from pcseg.data.clouds import read_cloud
from pcseg.data.frames import Units, Up
from pcseg.data.predictions import find_prediction, read_prediction
from pcseg.errors import UserError
from pcseg.views.cameras import View
from pcseg.views.coloring import By, available
from pcseg.views.palette import Palette
from pcseg.views.pictures import compare_picture, picture
from pcseg.views.subject import make_subject
from pcseg.views.window import show


def visualize(
    cloud: Path,
    *,
    prediction: Path | None = None,
    by: By | None = None,
    png: Path | None = None,
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
    """Show a cloud in a window, or write a picture of it.

    Args:
        cloud: A .ply, .pcd, .xyz, .txt, .npy or .npz file, or a prepared scene (.h5).
        prediction: Prediction of this cloud (.npz), or a folder that holds it.
        by: What colours mean; without a value the prediction, else the colour, else the height.
        png: Picture to write; without it a window opens.
        sheet: Write four views side by side: colour, true label, prediction and error.
        view: inside (from a corner at eye height), top (bird's eye, without the ceiling) or plan (straight down).
        eye: Place of the camera, "[x, y, z]" in metres with z up.
        look_at: Place in the middle of the picture, likewise.
        size: "[width, height]" of the picture; 1280 x 720, a sheet 1840 x 1040.
        palette: Colours of classes; safe is for colour-blind readers.
        shade: Darken edges; without it colours are exactly those of the legend.
        units: Unit of the file.
        up: Axis of the file that points up.
    """
    saved = None
    if prediction is not None:
        place = find_prediction(prediction, cloud)
        saved = read_prediction(place)
        print(f"prediction: {place}, by checkpoint {saved.checkpoint}")
    subject = make_subject(read_cloud(cloud), saved, units=units, up=up)
    print(f"{cloud}: {len(subject):,} points; " + "; ".join(subject.remarks))
    by = by or next(way for way in ("prediction", "rgb", "height") if way in available(subject))
    if png is None:
        if sheet:
            raise UserError("--sheet is a picture; give --png FILE too")
        show(subject, by, palette=palette)
    elif sheet:
        save(
            compare_picture(subject, view=view, size=size or (1840, 1040), palette=palette, shade=shade), png
        )
    else:
        save(
            picture(
                subject, by, view=view, eye=eye, look_at=look_at, size=size or (1280, 720), palette=palette,
                shade=shade,
            ),
            png,
        )  # fmt: skip


def save(image: Image.Image, path: Path) -> None:
    """Write a picture, under a temporary name first, and say so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    image.save(temporary, format="PNG")
    temporary.replace(path)
    print(f"wrote {path}, {image.width} x {image.height}")


if __name__ == "__main__":
    run(visualize)
