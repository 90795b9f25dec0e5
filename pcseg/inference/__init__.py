"""Predictions of trained models for whole scenes, images and files."""
