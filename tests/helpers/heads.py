"""Configurations of the published heads for images, and heads built from configurations."""

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from pcseg.heads.base import HeadOutput
from pcseg.heads.images import ImageHead
from pcseg.heads.points import PointHead
from pcseg.network import HeadFactory
from pcseg.nn.tokens import Pixels, to_image

NORMS = "pcseg.nn.norms."


def part(name: str, **init_args: Any) -> dict[str, Any]:
    """The class ``pcseg.NAME`` with options."""
    return {"class_path": f"pcseg.{name}", "init_args": init_args}


def image_head(body: dict[str, Any], **options: Any) -> dict[str, Any]:
    return part("heads.ImageHead", body=body, **options)


def point_head(body: str, *, level: int = 2, **options: Any) -> dict[str, Any]:
    """A body with options on a level of points."""
    return part("heads.PointHead", level=level, body=part(f"heads.{body}", **options))


def published_encnet(
    *, norm: str | None = "BiasedBatchNorm", lateral: bool = False, dropout: float = 0.1, **body: Any
) -> dict[str, Any]:
    norms = {} if norm is None else {"norm": NORMS + norm}
    options: dict[str, Any] = {"width": 512, "reference_size": None, "dropout": dropout} | norms | body
    return image_head(
        part("heads.EncBody", **options), laterals=[-3, -2] if lateral else [],
        auxiliary=part("heads.FCNBody", dropout=dropout, **norms), aux_weight=0.2, align_corners=True,
    )  # fmt: skip


def published_ctnet(
    *, norm: str | None = "PaddleBatchNorm", init: bool = True, **body: Any
) -> dict[str, Any]:
    shared: dict[str, Any] = {"paddle_init": init} | ({} if norm is None else {"norm": NORMS + norm})
    options: dict[str, Any] = {"width": 512, "key_width": 256, "class_batch_norm": True} | shared | body
    return image_head(
        part("heads.CTBody", **options), auxiliary=part("heads.PointwiseBody", **shared), aux_weight=0.3
    )


def published_ccnet(*, norm: str | None = "InPlaceABN", dropout: float = 0.1, **body: Any) -> dict[str, Any]:
    norms = {} if norm is None else {"norm": NORMS + norm}
    options: dict[str, Any] = {"width": 512, "recurrence": 2, "dropout": dropout} | norms | body
    auxiliary = part("heads.FCNBody", width=options["width"], bias=True, dropout=dropout, **norms)
    return image_head(part("heads.RCCABody", **options), auxiliary=auxiliary, align_corners=True)


PUBLISHED = {"encnet": published_encnet, "ctnet": published_ctnet, "ccnet": published_ccnet}


def head_factory(config: dict[str, Any]) -> HeadFactory:
    """The factory that the command line makes of ``config``, without the time that parsing takes."""
    return _resolve(config)


def _resolve(value: Any) -> Any:
    """Class paths as factories, other values as they are."""
    if isinstance(value, dict):
        return partial(
            _resolve(value["class_path"]), **{k: _resolve(v) for k, v in value["init_args"].items()}
        )
    if isinstance(value, str) and value.startswith("pcseg."):
        module, _, name = value.rpartition(".")
        return getattr(import_module(module), name)
    return value


def build_head(config: dict[str, Any], channels: Any, num_classes: int) -> Any:
    head = head_factory(config)(channels, num_classes)
    assert isinstance(head, ImageHead | PointHead)
    return head


def image_batch(
    levels: Sequence[Tensor], size: tuple[int, int] | None = None, labels: Tensor | None = None
) -> Any:
    """A batch of images of ``size``, or of the size of the last feature; the values do not matter to heads."""
    rows, columns = levels[-1].shape[2:] if size is None else size
    return SimpleNamespace(image=levels[-1].new_zeros(len(levels[-1]), 3, rows, columns), labels=labels)


def run_image_head(
    head: Any, levels: Sequence[Tensor], size: tuple[int, int] | None = None, labels: Tensor | None = None
) -> HeadOutput:
    """The output of an image head, with logits ``(B, K, H, W)``."""
    batch = image_batch(levels, size, labels)
    output = head(levels, batch)
    return HeadOutput(logits=as_image(output.logits, batch), aux=output.aux)


def as_image(rows: Tensor, batch: Any) -> Tensor:
    """Rows of a batch of images as images ``(B, K, H, W)``."""
    count, _, height, width = batch.image.shape
    return to_image(rows, Pixels(batch_size=count, height=height, width=width, device=rows.device))
