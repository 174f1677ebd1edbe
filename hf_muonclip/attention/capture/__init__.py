"""The largest logit of every head in every training forward: which scores there are, which count, and their maxima."""
