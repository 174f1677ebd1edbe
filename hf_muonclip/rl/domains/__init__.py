"""Domains of tasks with their rewards: mathematics, puzzles, instructions, programs, safety, faithfulness."""
