"""Measurements of time, throughput and memory, one file for each part of the bench.

- `backend`: seconds per verdict and score, and of a forward pass alone.
- `serving`: verdicts and scores per second of several systems; `systems` holds one file for each group of
  them.
- `busy`: a gateway's engine while other processes are busy.
- `reward`: `judge.reward.Reward` and its memory.
- `draw`: scenes drawn per second.
- `suites`: reading label files and scoring predictions.
- `plan`: the estimate of `judge plan` compared with measured time.
- `scale`: rows in bulk on Ray.
- `nodes`: a Ray cluster that loses a worker and a node.

Imports `eval.bench.accuracy`, `eval.suites` and `judge`.
"""
