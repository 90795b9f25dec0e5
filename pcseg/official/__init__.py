"""Published weights of other projects: names, loading, systems and conversion."""
