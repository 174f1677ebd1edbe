"""MuonClip in transformers' Trainer: entry points, reporting, saving, resuming and pushing."""
