"""What every folder may use: patches that come off cleanly, loggers, and names of many layers in one line."""
