"""The figures of a run: kept, logged, read again, and shown as a page, as pictures and in the terminal."""
