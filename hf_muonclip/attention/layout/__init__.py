"""Which rows of which weights feed which head: read by rules, found by running, proven by behaviour."""
