"""What every folder may use: patches that can be removed cleanly, loggers, wording, and inputs of a forward."""
