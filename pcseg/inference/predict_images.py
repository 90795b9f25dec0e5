"""Prediction on any picture file: a class for every pixel, as a palette PNG and as colours over the picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pcseg.checkpoint import load_checkpoint
from pcseg.data.images.reader import read_colors
from pcseg.data.io.clouds import READERS
from pcseg.errors import UserError
from pcseg.files import atomic_path, make_folder
from pcseg.inference.images import image_model
from pcseg.inference.points import choose_device
from pcseg.labels import LabelSchema, Palette, class_colors

SHOWN = 0.55
"""Weight of the class colours over a picture."""


def predict_image(
    image: Path,
    *,
    ckpt: Path,
    out: Path = Path("predictions"),
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    overlap: float = 1 / 3,
    palette: Palette = "canonical",
    device: str = "auto",
) -> list[str]:
    """Predict the class of every pixel of a picture.

    Writes ``out/<name>.png`` (8 bits a pixel: the class, with a palette of its colours) and
    ``out/<name>_overlay.jpg``, and returns what was found, in plain language. All are upright: a photo whose EXIF entry
    says that the camera was held on its side is turned first.

    Args:
        image: A picture file.
        ckpt: Checkpoint written by training on images.
        out: Folder of the results.
        scales: Factors on the size of the picture whose probabilities are averaged.
        flip: Average with the mirror image too.
        overlap: Share of a window that the next one shows again.
        palette: Colors of the classes; ``colorblind`` can be distinguished by color-blind readers.
        device: Where the model runs: ``auto``, ``cpu``, ``cuda`` or one of several GPUs such as ``cuda:1``.

    Raises:
        UserError: A checkpoint that was not trained on images, or a file that is missing or no picture.
    """
    if not image.is_file():
        raise UserError(f"{image}: no such file; give the path of a picture")
    if image.suffix.lower() in READERS:
        raise UserError(
            f"{image}: a cloud, but {ckpt} was trained on images; give a point model's checkpoint"
        )
    colors = read_colors(image, upright=True)
    model = image_model(load_checkpoint(ckpt))
    make_folder(out)
    model.loaded.network.to(choose_device(device))
    windows = model.windows(scales=scales, flip=flip, overlap=overlap)
    probability = model.probabilities(colors, windows, name=str(image))
    confidence, label = probability.max(0)
    schema = model.loaded.schema
    paths = write_label_image(out, image, colors, label.numpy().astype(np.uint8), schema, palette)
    shares = np.bincount(label.numpy().ravel(), minlength=schema.num_classes) / label.numel()
    order = [k for k in np.argsort(-shares, kind="stable") if shares[k] >= 0.001]
    return [
        f"read: {image}, {colors.shape[1]} x {colors.shape[0]} pixels",
        "classes: " + ", ".join(f"{schema.names[k]} {shares[k]:.1%}" for k in order),
        f"confidence: {float(confidence.mean()):.2f} on average",
        f"wrote {paths[0]} and {paths[1]}",
    ]


def write_label_image(
    out: Path, source: Path, colors: np.ndarray, label: np.ndarray, schema: LabelSchema, palette: Palette
) -> tuple[Path, Path]:
    """Write a palette PNG of classes and a picture with their colours; both appear when they are complete."""
    index, overlay = out / f"{source.stem}.png", out / f"{source.stem}_overlay.jpg"
    if source.resolve() in (index.resolve(), overlay.resolve()):
        raise UserError(f"--out {out}: the prediction would replace {source}; give another")
    table = class_colors(schema, palette)
    picture = Image.fromarray(label)
    picture.putpalette(table.tobytes())
    mixed = (1 - SHOWN) * colors + SHOWN * table[label]
    for path, content, kind in (
        (index, picture, "PNG"),
        (overlay, Image.fromarray(mixed.astype(np.uint8)), "JPEG"),
    ):
        with atomic_path(path) as temporary:
            content.save(temporary, format=kind)
    return index, overlay
