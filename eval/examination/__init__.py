"""`judge examine`: examine a model on drawn scenes with exact truth, before it is relied on.

- `cases`: the scenes, ladders of damage, pairs and objects that a model is shown.
- `answers`: ask a judge about them, with times and memory.
- `box_conventions`: which way of writing boxes fits the truth best.
- `measures`: the numbers, computed from answers and truth.
- `rules`: what the numbers mean, and the verdict: fit, fit with settings, or unfit.
- `examine`: all of it, to the card of the model (`judge.backends.cards`).
- `cost`: what it costs on a hosted model.
- `table`: the card for a terminal.

Imports `eval.metrics` and `judge`.
"""
