"""What the head of an image model does with a picture: the same maps as on a cloud, with pixels for points."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pcseg.checkpoint import LoadedModel
from pcseg.data.images.augment import resize, scaled_size
from pcseg.data.images.batch import ImageBatch
from pcseg.data.images.frames import labelled_frame
from pcseg.data.images.reader import read_colors
from pcseg.explain import maps_of_pass
from pcseg.image_inference import image_model
from pcseg.labels import IGNORE_INDEX
from pcseg.views.subject import Subject


def explain_picture(model: LoadedModel, path: Path) -> Subject:
    """Show a picture to an image model and keep what its head made on the way.

    Args:
        model: A model that was trained on images.
        path: The picture; a frame of a scan comes with its labels.

    Returns:
        The picture as a subject whose points are its pixels, at x and y in pixels and z 0.

    Raises:
        UserError: The model was not trained on images, or a file is no picture.

    Convention:
        The picture is shown once and whole, as large as fits into a window of training, and the subject has that
        size: its context is that of the picture, never of a window.
    """
    images = image_model(model)
    found = labelled_frame(path, model.schema)
    colors = read_colors(path) if found is None else found[0]
    height, width = colors.shape[:2]
    rows, columns = images.crop_size
    size = scaled_size(height, width, min(rows / height, columns / width))
    truth = np.full((height, width), IGNORE_INDEX, np.int16) if found is None else found[1]
    colors, truth = resize(colors, truth, size)
    device = next(model.segmentor.parameters()).device
    batch = ImageBatch(
        image=images.normalize(colors)[None].to(device),
        labels=torch.from_numpy(truth.astype(np.int64))[None].to(device),
        names=[path.stem],
    )

    def tokens(features: list[Any]) -> np.ndarray:
        # a pixel reads the token that its middle lies in
        rows, columns = features[-1].shape[2:]
        y = ((np.arange(size[0]) + 0.5) * rows / size[0]).astype(np.int64)
        x = ((np.arange(size[1]) + 0.5) * columns / size[1]).astype(np.int64)
        return (y[:, None] * columns + x).ravel()

    maps = maps_of_pass(model, batch, row=np.arange(truth.size), tokens=tokens)
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
