"""Generated buildings and the sensors that scan them."""
