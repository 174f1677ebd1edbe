"""A step that ranks share: who owns which matrix, what travels, and what all must agree on."""
