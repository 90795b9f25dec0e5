"""Domain-free modules, the mathematics of one paper a file."""
