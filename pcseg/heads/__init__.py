"""Segmentation heads: one body per paper, and two adapters that put a body on points or on images."""

from pcseg.heads.base import Body, BodyFactory, BodyOutput, Head, HeadOutput
from pcseg.heads.cac import CACBody
from pcseg.heads.ccnet import RCCABody
from pcseg.heads.ctnet import CTBody, PointwiseBody
from pcseg.heads.encnet import EncBody
from pcseg.heads.fcn import FCNBody
from pcseg.heads.images import ImageHead
from pcseg.heads.linear import LinearHead
from pcseg.heads.points import PointHead
from pcseg.heads.slab import SlabBody

__all__ = [
    "Body",
    "BodyFactory",
    "BodyOutput",
    "CACBody",
    "CTBody",
    "EncBody",
    "FCNBody",
    "Head",
    "HeadOutput",
    "ImageHead",
    "LinearHead",
    "PointHead",
    "PointwiseBody",
    "RCCABody",
    "SlabBody",
]
