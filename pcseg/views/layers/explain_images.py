"""What the head of an image model does with a picture: the same maps as on a cloud, with pixels for points."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pcseg.checkpoint import LoadedModel
from pcseg.data.images.augment import resize, scaled_size
from pcseg.data.images.batch import ImageBatch
from pcseg.data.images.reader import read_colors
from pcseg.data.images.scan_frames import labeled_frame
from pcseg.errors import UserError
from pcseg.inference.images import ImageModel, image_model
from pcseg.labels import IGNORE_INDEX
from pcseg.views.layers.explain_points import maps_of_pass
from pcseg.views.layers.head_maps import HeadMaps
from pcseg.views.subject import Subject


def explain_picture(model: LoadedModel, path: Path, *, plain: LoadedModel | None = None) -> Subject:
    """Show a picture to an image model and keep what its head made on the way.

    Args:
        model: A model that was trained on images.
        path: The picture; a frame of a scan comes with its labels.
        plain: Another model of the same classes and size of window, to compare with.

    Returns:
        The picture as a subject whose points are its pixels, at x and y in pixels and z 0.

    Raises:
        UserError: A model was not trained on images, ``plain`` does not fit ``model``, or a file is no picture.

    Convention:
        The picture is shown once and whole, as large as fits into a window of training, and the subject has that
        size: its context is that of the picture, never of a window.
    """
    images = image_model(model)
    other = None if plain is None else _comparable(plain, images)
    found = labeled_frame(path, model.schema)
    colors = read_colors(path, upright=True) if found is None else found[0]
    height, width = colors.shape[:2]
    rows, columns = images.crop_size
    size = scaled_size(height, width, min(rows / height, columns / width))
    truth = np.full((height, width), IGNORE_INDEX, np.int16) if found is None else found[1]
    colors, truth = resize(colors, truth, size)
    maps = _explain_pixels(images, colors, truth, name=path.stem)
    if other is not None:
        maps = replace(maps, plain=_explain_pixels(other, colors, truth, name=path.stem).probability)
    y, x = np.divmod(np.arange(truth.size), size[1])
    return Subject(
        name=path.stem,
        pos=np.stack([x, y, np.zeros_like(x)], axis=1).astype(np.float32),
        color=colors.reshape(-1, 3),
        label=None if found is None else truth.ravel(),
        prediction=maps.label,
        confidence=maps.confidence,
        schema=model.schema,
        maps=maps,
        pixels=size,
        remarks=(f"shown to the model at {size[1]} x {size[0]} pixels",),
    )


def _comparable(plain: LoadedModel, images: ImageModel) -> ImageModel:
    """The image model ``plain``; :class:`UserError` if it does not see what ``images`` sees."""
    other = image_model(plain)
    if other.crop_size != images.crop_size:
        here, there = (" x ".join(map(str, model.crop_size)) for model in (other, images))
        raise UserError(
            f"{plain.path}: was trained on windows of {here} pixels, {images.loaded.path} on {there}; compare models "
            "of one size"
        )
    plain.schema.require_same(images.loaded.schema, this=str(plain.path), that=str(images.loaded.path))
    return other


def _explain_pixels(images: ImageModel, colors: np.ndarray, truth: np.ndarray, *, name: str) -> HeadMaps:
    """Maps of a picture ``(H, W, 3)`` that is shown as it is."""
    device = next(images.loaded.network.parameters()).device
    batch = ImageBatch(
        image=images.normalize(colors)[None].to(device),
        labels=torch.from_numpy(truth.astype(np.int64))[None].to(device),
        names=[name],
    )
    height, width = truth.shape

    def tokens(features: list[Any]) -> np.ndarray:
        # a pixel reads the token that its middle lies in
        rows, columns = features[-1].shape[2:]
        y = ((np.arange(height) + 0.5) * rows / height).astype(np.int64)
        x = ((np.arange(width) + 0.5) * columns / width).astype(np.int64)
        return (y[:, None] * columns + x).ravel()

    return maps_of_pass(images.loaded, batch, row=np.arange(truth.size), tokens=tokens)
