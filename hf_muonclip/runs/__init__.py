"""The figures of a run: kept, logged, read again, and shown as a page, pictures and a terminal."""
