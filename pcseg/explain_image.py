"""What the head of an image model does with a picture: the same maps as on a cloud, with pixels for points."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pcseg.checkpoint import LoadedModel
from pcseg.data.images.augment import resize_colors, scaled_size
from pcseg.data.images.batch import ImageBatch
from pcseg.data.images.reader import read_colors
from pcseg.explain import body_maps, watched_parts, watching
from pcseg.heads.image_base import ImageHead
from pcseg.image_inference import image_model
from pcseg.views.head_maps import HeadMaps
from pcseg.views.subject import Subject


def explain_picture(model: LoadedModel, path: Path) -> Subject:
    """Show a picture to an image model and keep what its head made on the way.

    Args:
        model: A model that was trained on images.
        path: The picture.

    Returns:
        The picture as a subject whose points are its pixels, at x and y in pixels and z 0.

    Raises:
        UserError: The model was not trained on images, or the file is no picture.

    Convention:
        The picture is shown once and whole, as large as fits into a window of training, and the subject has that
        size: its context is that of the picture, never of a window.
    """
    images = image_model(model)
    colors = read_colors(path)
    height, width = colors.shape[:2]
    rows, columns = images.crop_size
    size = scaled_size(height, width, min(rows / height, columns / width))
    colors = resize_colors(colors, size)
    maps = _explain_pixels(model, images.normalize(colors), size)
    y, x = np.divmod(np.arange(size[0] * size[1]), size[1])
    return Subject(
        name=path.stem,
        pos=np.stack([x, y, np.zeros_like(x)], axis=1).astype(np.float32),
        color=colors.reshape(-1, 3),
        prediction=maps.label,
        confidence=maps.confidence,
        schema=model.schema,
        maps=maps,
        pixels=size,
        remarks=(f"shown to the model at {size[1]} x {size[0]} pixels",),
    )


def _explain_pixels(model: LoadedModel, image: torch.Tensor, size: tuple[int, int]) -> HeadMaps:
    device = next(model.segmentor.parameters()).device
    labels = torch.full((1, *size), -1, device=device)
    batch = ImageBatch(image=image[None].to(device), labels=labels, names=[""])
    head = model.segmentor.head
    body = head.body if isinstance(head, ImageHead) else None
    parts = watched_parts(body) | {"backbone": model.segmentor.backbone}
    model.segmentor.eval()
    with torch.inference_mode(), watching(parts) as calls:
        logits = model.segmentor(batch).logits
        features: Any = calls["backbone"][0][1]
        rows, columns = features[-1].shape[2:]
        # a pixel reads the token that its middle lies in
        y = ((np.arange(size[0]) + 0.5) * rows / size[0]).astype(np.int64)
        x = ((np.arange(size[1]) + 0.5) * columns / size[1]).astype(np.int64)
        maps = HeadMaps(
            head=type(head).__name__,
            row=np.arange(size[0] * size[1]),
            probability=logits.float().softmax(1).cpu().numpy(),
            token=(y[:, None] * columns + x).ravel(),
        )
        return maps if body is None else replace(maps, **body_maps(body, calls))
