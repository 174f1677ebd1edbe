"""Where graders and programs run that may hang, crash or eat all memory: limited processes of their own."""
