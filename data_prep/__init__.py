"""Convert raw releases to prepared folders, one module per data set."""
