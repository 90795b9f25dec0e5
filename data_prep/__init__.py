"""Raw releases to prepared folders, one module a data set."""
