"""Backbones for images, one a file."""
