"""Limited processes for what may hang, crash or eat all memory, and the grader of mathematical answers."""
