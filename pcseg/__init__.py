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
    from pcseg.heads import CTBody as CTBody
    from pcseg.heads import EncBody as EncBody
    from pcseg.heads import FCNBody as FCNBody
    from pcseg.heads import ImageHead as ImageHead
    from pcseg.heads import LinearHead as LinearHead
    from pcseg.heads import PointHead as PointHead
    from pcseg.heads import RCCABody as RCCABody
    from pcseg.inference.predict import predict as predict
    from pcseg.ops.attention import union_attention as union_attention
    from pcseg.ops.lines import axis_lines as axis_lines
    from pcseg.ops.lines import pixel_lines as pixel_lines
    from pcseg.ops.sparse_conv import sparse_conv as sparse_conv
    from pcseg.ops.voxels import VoxelSet as VoxelSet

_MODULE_OF = {
    "LoadedModel": "pcseg.checkpoint",
    "load_checkpoint": "pcseg.checkpoint",
    "Cloud": "pcseg.data.io.clouds",
    "read_cloud": "pcseg.data.io.clouds",
    "CTBody": "pcseg.heads",
    "EncBody": "pcseg.heads",
    "FCNBody": "pcseg.heads",
    "ImageHead": "pcseg.heads",
    "LinearHead": "pcseg.heads",
    "PointHead": "pcseg.heads",
    "RCCABody": "pcseg.heads",
    "predict": "pcseg.inference.predict",
    "union_attention": "pcseg.ops.attention",
    "axis_lines": "pcseg.ops.lines",
    "pixel_lines": "pcseg.ops.lines",
    "sparse_conv": "pcseg.ops.sparse_conv",
    "VoxelSet": "pcseg.ops.voxels",
}
"""Module of every public name."""

__all__ = [*_MODULE_OF]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
