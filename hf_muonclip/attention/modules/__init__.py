"""Which modules of a model attend: by what runs, and by their code where they do not run."""
