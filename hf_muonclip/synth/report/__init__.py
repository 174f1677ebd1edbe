"""The page of a rephrasing run: what was kept and dropped and why, what it cost, how alike its texts are."""
