"""Maps of the head of an image model for an image: the same as for a cloud, with pixels as points."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pcseg.checkpoint import LoadedModel
from pcseg.data.images.augment import resize, scaled_size
from pcseg.data.images.batch import ImageBatch
from pcseg.data.images.files import read_colors
from pcseg.data.images.scan_frames import labeled_frame
from pcseg.inference.device import device_of
from pcseg.inference.images import ImageModel, image_model
from pcseg.labels import IGNORE_INDEX
from pcseg.network import Network
from pcseg.views.layers.explain import explain_pass, require_comparable
from pcseg.views.layers.head_maps import HeadMaps, TokenGrid
from pcseg.views.subject import Subject


def explain_image(model: LoadedModel, path: Path, *, baseline: LoadedModel | None = None) -> Subject:
    """Predict an image and return it as a subject with the maps of the head; its points are the pixels.

    Raises:
        UserError: A model is not an image model, ``baseline`` does not fit ``model``, or a file is not an image.

    Convention:
        The image is predicted in one pass, as large as fits into a training crop, and the subject has that size, so
        the context is that of the whole image.
    """
    images = image_model(model)
    found = labeled_frame(path, model.schema)
    colors = read_colors(path, upright=True) if found is None else found[0]
    height, width = colors.shape[:2]
    rows, columns = images.crop_size
    size = scaled_size(height, width, min(rows / height, columns / width))
    label = np.full((height, width), IGNORE_INDEX, np.int16) if found is None else found[1]
    colors, label = resize(colors, label, size)
    maps = _explain(model.network, images, colors, label)
    if baseline is not None:
        other = image_model(baseline)
        require_comparable(baseline, model, crop_size=(other.crop_size, images.crop_size))
        maps = replace(maps, baseline=_explain(baseline.network, other, colors, label).probability)
    y, x = np.divmod(np.arange(label.size), size[1])
    return Subject(
        name=path.stem,
        pos=np.stack([x, size[0] - 1 - y, np.zeros_like(x)], axis=1).astype(np.float32),
        color=colors.reshape(-1, 3),
        label=None if found is None else label.ravel(),
        prediction=maps.label,
        confidence=maps.confidence,
        schema=model.schema,
        maps=maps,
        pixels=size,
        remarks=(f"predicted at {size[1]} x {size[0]} pixels",),
    )


def _explain(network: Network, images: ImageModel, colors: np.ndarray, label: np.ndarray) -> HeadMaps:
    """Return the maps of an image ``(H, W, 3)`` at its own size."""
    device = device_of(network)
    batch = ImageBatch(
        image=images.normalize(colors)[None].to(device),
        labels=torch.from_numpy(label.astype(np.int64))[None].to(device),
        names=[""],
    )
    height, width = label.shape

    def tokens(features: Sequence[Tensor]) -> TokenGrid:
        # a pixel reads the token that contains its center
        rows, columns = features[-1].shape[2:]
        y = ((np.arange(height) + 0.5) * rows / height).astype(np.int64)
        x = ((np.arange(width) + 0.5) * columns / width).astype(np.int64)
        return TokenGrid(
            token=(y[:, None] * columns + x).ravel(),
            low=[0, 0, 0],
            edge=[width / columns, height / rows, 1],
            axes=["columns", "rows", "image"],
            unit="pixels",
        )

    return explain_pass(network, batch, row=np.arange(label.size), tokens=tokens)
