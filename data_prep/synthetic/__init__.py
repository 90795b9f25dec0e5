"""Generated buildings, scanners and cameras."""
