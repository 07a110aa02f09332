"""Metrics of agreement between a judge and the ground truth. Pure functions of arrays: no files, no models.

Almost every function returns a `MetricValue` (or a few of them): a number, or None and the reason in words.
NaN is never returned. Unusable input, such as arrays of different length or infinities, raises `InputError`,
because it is a mistake of the caller; an undefined correlation is a fact about the data.

Result types and intervals:
    `metric_value`: `MetricValue` and its bootstrap `Interval`.
    `bootstrap`: bootstrap intervals, and Wilson's for shares.
    `averages`: mean, weighted sum of metrics, median over groups.
    `validation`: checks on the input arrays, grouping of rows.

Predicted scores against human scores:
    `correlation`: SRCC, PLCC and KRCC.
    `logistic`: the 4- and 5-parameter logistic mapping that image quality assessment fits before PLCC.
    `prediction_error`: RMSE and MAE.
    `significance`: whether two judges differ, by a paired bootstrap.

Predicted labels and probabilities against true labels:
    `classification`: accuracy, and precision, recall and F1 from counts.
    `calibration`: calibration bins and the expected calibration error.

Predicted regions against true regions:
    `boxes`: IoU and F1 of boxes.
    `masks`: F1 of connected regions, F1 and IoU of pixels.

Comparisons of two or more images:
    `pairwise`: accuracies over pairs and ranked lists, and a Bradley-Terry ranking.

Imports from below: `judge.errors` and `judge.compare.bradley_terry`.
"""
