"""Backbones for images, one per file."""
