"""Training the judge: scenes, examples, the embedded nano model, adapters."""
