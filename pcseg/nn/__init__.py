"""Modules of the context heads, each with the equations of its paper, and layers shared by points and images."""
