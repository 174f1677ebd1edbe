"""MuonClip in transformers' Trainer: how it gets there, what is reported, saved, resumed and pushed."""
