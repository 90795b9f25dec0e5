"""Backbones for point clouds, one per file."""
