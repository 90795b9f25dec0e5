"""Windows, browser views and HTML pages."""
