"""What every folder may use: patches that come off cleanly, loggers, and names and numbers in words."""
