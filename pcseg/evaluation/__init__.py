"""Scores of trained models with their provenance."""
