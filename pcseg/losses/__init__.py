"""Losses as functions on logits and labels."""
