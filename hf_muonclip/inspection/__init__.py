"""What a model, a step and this machine will meet, before anything is trained."""
