"""Published weights of other projects: their files, their names, and how they get into our modules."""
