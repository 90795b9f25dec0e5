"""What a training needs besides its loop: where weights begin, measures, memory, survival of bad steps."""
