"""The max logit of every head over training forwards: finding the scores, which pairs count, and their maxima."""
