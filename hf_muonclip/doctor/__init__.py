"""What `hf-muonclip doctor` says before a run: versions, hardware, launcher and model, and what will be refused."""
