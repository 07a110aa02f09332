"""The suite `trust`: how stable, calibrated and robust a judge's answers are.

    judge eval run trust --out RUN

The suite judges drawn scenes, because their truth is exact: which elements are present, what is damaged,
and how each image would look without its damage. Differences are in points of the score (1..5), the other
numbers are shares.

- `suite`: run all measurements (`measure_trust`), their targets, the table and `trust.json`.
- `scenes`: the scenes, and changes to their images.
- `scores`: numbers with notes, and differences between scores.
- `invariance`: changes that must not move a score, or only a little.
- `injection`: instructions to the judge in the prompt and in the image.
- `calibration`: probabilities of elements, and images without damage.
- `repair`: repaired regions must raise the score.
- `attribution`: agreement of boxes with heat maps.

Imports `eval.metrics` and `eval.runs` from below, and from `judge` the types, the scenes, the media and the
explanations.
"""
