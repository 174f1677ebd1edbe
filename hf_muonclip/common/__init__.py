"""What every folder may use: patches that come off cleanly, loggers, words, and inputs of a forward."""
