"""Semantic segmentation of indoor point clouds with the context heads of image segmentation.

The names below are imported when they are first used, so that ``import pcseg`` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pcseg.checkpoint import LoadedModel as LoadedModel
    from pcseg.checkpoint import load_checkpoint as load_checkpoint
    from pcseg.data.io.clouds import Cloud as Cloud
    from pcseg.data.io.clouds import read_cloud as read_cloud
    from pcseg.heads import CACBody as CACBody
    from pcseg.heads import CTBody as CTBody
    from pcseg.heads import EncBody as EncBody
    from pcseg.heads import FCNBody as FCNBody
    from pcseg.heads import ImageHead as ImageHead
    from pcseg.heads import LinearHead as LinearHead
    from pcseg.heads import PointHead as PointHead
    from pcseg.heads import RCCABody as RCCABody
    from pcseg.heads import SlabBody as SlabBody
    from pcseg.inference.predict import predict as predict
    from pcseg.ops.attention import union_attention as union_attention
    from pcseg.ops.lines import axis_lines as axis_lines
    from pcseg.ops.lines import pixel_lines as pixel_lines
    from pcseg.ops.sparse_conv import sparse_conv as sparse_conv
    from pcseg.ops.voxels import VoxelSet as VoxelSet

_NAMES_IN = {
    "pcseg.checkpoint": ("LoadedModel", "load_checkpoint"),
    "pcseg.data.io.clouds": ("Cloud", "read_cloud"),
    "pcseg.heads": ("CACBody", "CTBody", "EncBody", "FCNBody", "ImageHead", "LinearHead", "PointHead", "RCCABody",
                    "SlabBody"),
    "pcseg.inference.predict": ("predict",),
    "pcseg.ops.attention": ("union_attention",),
    "pcseg.ops.lines": ("axis_lines", "pixel_lines"),
    "pcseg.ops.sparse_conv": ("sparse_conv",),
    "pcseg.ops.voxels": ("VoxelSet",),
}  # fmt: skip
"""Public names by their modules."""

_MODULE_OF = {name: module for module, names in _NAMES_IN.items() for name in names}

__all__ = [*_MODULE_OF]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
