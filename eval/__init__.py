"""Evaluation of judges: benchmarks, runs, reports and the project's own measurements.

- `metrics`: correlations, accuracies, intervals and significance tests.
- `suites`: benchmarks, one file each: read the data, evaluate verdicts by the official rule.
- `runs`: judge a suite into a RUN folder and read it back.
- `report`: an HTML page that compares runs.
- `trust`: whether a judge's scores are stable, calibrated and robust.
- `examination`: what a model is fit for, found on drawn scenes: `judge examine`.
- `interop`: submissions, exports and other evaluation tools.
- `cli`: the command `judge eval`.
- `bench`: the numbers of this project, `python -m eval.bench`.

Imports `judge`; `finetune` imports this package, and only `bench` imports `finetune`.
"""
