"""Metrics on comparisons of two or more items: which is better, by people and by the judge.

    `pair_accuracy`: accuracies over pairs and ranked lists.
    `pair_statistics`: differences of all pairs, and intervals of statistics over pairs.
    `ranking`: a Bradley-Terry ranking from the outcomes of pairs.

Imports from below: the bootstrap and validation of `eval.metrics`, and `judge.compare.bradley_terry`.
"""
