"""Muon and AdamW on torch alone: which matrices a parameter holds, how they are orthogonalized, and by which rank."""
