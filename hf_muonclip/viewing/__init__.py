"""See a run while it trains and after: `hf-muonclip report` writes a page, `hf-muonclip watch` draws in a terminal."""
