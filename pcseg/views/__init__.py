"""Pictures of clouds: colours, legends, files and windows."""
