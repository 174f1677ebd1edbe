"""Task domains with their rewards: mathematics, puzzles, instructions, programs, safety, faithfulness."""
