"""Scenes, data sets, transforms, samplers and batches."""
