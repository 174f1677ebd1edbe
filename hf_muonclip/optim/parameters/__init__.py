"""Plan the algorithm of each parameter, and find the matrices that it holds."""
