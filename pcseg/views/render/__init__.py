"""Still pictures of clouds, without a display."""
