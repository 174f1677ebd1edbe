"""What a text says in formulas: which relations stand in it, which of them are true, and what its final answer is."""
