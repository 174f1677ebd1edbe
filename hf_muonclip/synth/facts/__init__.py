"""What a text says that can be checked without understanding it: numbers, dates, names, claims and their order."""
