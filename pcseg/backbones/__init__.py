"""Backbones: ``points`` for clouds, ``images`` for pictures."""
