"""Checkpoints of other projects as weights of ours."""
