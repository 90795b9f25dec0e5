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
from pcseg.data.transforms.pyg import PyGTransform
from pcseg.data.transforms.sampling import CropCenter, GridSample, RandomDropout, SphereCrop
from pcseg.data.transforms.scans import CeilingCut, MissingColor, RandomExposure, RandomNoise, RandomSpacing

__all__ = [
    "CeilingCut",
    "CenterShift",
    "ChromaticAutoContrast",
    "ChromaticJitter",
    "ChromaticTranslation",
    "CropCenter",
    "ElasticDistortion",
    "GridSample",
    "IndoorColor",
    "IndoorGeometry",
    "MissingColor",
    "PyGTransform",
    "RandomDropout",
    "RandomExposure",
    "RandomFlip",
    "RandomJitter",
    "RandomNoise",
    "RandomRotate",
    "RandomScale",
    "RandomSpacing",
    "SphereCrop",
    "Transform",
    "apply_all",
]
