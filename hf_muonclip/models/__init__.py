"""Facts about a model that are neither attention nor optimizer: its kind, loss, dtypes, quantizer, saved weights."""
