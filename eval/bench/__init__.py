"""The numbers of this project, each by one command: `python -m eval.bench PART --json`."""
