"""Calls of what others wrote, and programs that models write: with a deadline and limits."""
