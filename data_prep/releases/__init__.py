"""Readers of the raw releases of public data sets."""
