"""The judge behind HTTP: a gateway process that never loads a model, and an engine process that does."""
