"""Scores of trained models, with the protocol that produced them."""
