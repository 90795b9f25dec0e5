"""Predictions of trained models for scenes, images and files."""
