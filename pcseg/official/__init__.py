"""Published weights of other projects: names, files, loading, conversion."""
