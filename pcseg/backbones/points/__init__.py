"""Backbones for point clouds, one a file."""
