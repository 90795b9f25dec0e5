"""Names of published parameters and buffers, to ours."""
