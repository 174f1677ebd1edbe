"""Inspect a model, a step and this machine before training."""
