"""Limited processes for graders and programs that may hang, crash or use up memory."""
