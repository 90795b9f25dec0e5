"""Point and image models on the same rooms: what frames say about points, and the table."""
