"""Segmentation heads: a point head and an image head in each file."""
