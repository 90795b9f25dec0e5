"""Pictures, pages and windows that show clouds, predictions and what a head computes."""
