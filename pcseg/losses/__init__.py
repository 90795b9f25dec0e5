"""Losses of logits, of whole clouds and of embeddings."""
