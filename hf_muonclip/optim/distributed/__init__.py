"""A step that ranks share: owners of matrices, transports between ranks, and what all must agree on."""
