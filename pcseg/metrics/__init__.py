"""Metrics summed over a whole split."""
