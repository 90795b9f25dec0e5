"""Point-cloud semantic segmentation with the context modules of image segmentation."""

__version__ = "0.1.0"
