"""Metrics that are counted over a whole split before they are divided."""
