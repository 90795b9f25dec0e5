"""Backbones for point clouds (``points``) and images (``images``)."""
