"""What updates a parameter, and which matrices it holds."""
