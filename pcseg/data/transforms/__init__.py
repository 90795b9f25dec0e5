"""Augmentations: typed and stateless, with random numbers from the generator passed to them."""

from pcseg.data.sample import Transform, apply_all
from pcseg.data.transforms.color import ChromaticAutoContrast, ChromaticJitter, ChromaticTranslation
from pcseg.data.transforms.geometry import (
    CenterShift,
    ElasticDistortion,
    RandomFlip,
    RandomJitter,
    RandomRotate,
    RandomScale,
)
from pcseg.data.transforms.presets import IndoorColor, IndoorGeometry
from pcseg.data.transforms.sampling import CropCenter, GridSample, RandomDropout, SphereCrop

__all__ = [
    "CenterShift",
    "ChromaticAutoContrast",
    "ChromaticJitter",
    "ChromaticTranslation",
    "CropCenter",
    "ElasticDistortion",
    "GridSample",
    "IndoorColor",
    "IndoorGeometry",
    "RandomDropout",
    "RandomFlip",
    "RandomJitter",
    "RandomRotate",
    "RandomScale",
    "SphereCrop",
    "Transform",
    "apply_all",
]
