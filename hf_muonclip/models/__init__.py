"""Facts about a model that are neither attention nor optimizer: its kind, its loss, its dtypes, its quantizer."""
