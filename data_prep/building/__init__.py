"""A procedural building: room models, the scanner that looks at them, the raw layout they are written in."""
