"""Runs: judge the rows of a suite into a RUN folder, resume it, read it back.

A RUN folder holds `manifest.json` (what was judged by which model), `results.jsonl` (one verdict a line) and
`lock` (held while a process writes the folder).

- `plan`: which rows of which suite are judged (`Plan`), and how far a run is (`RunProgress`).
- `local`: judge a plan in this process (`run_plan`).
- `distributed`: judge a plan with Ray workers (`run_plan_on_workers`).
- `run_folder`: create and lock a RUN folder.
- `atomic_file`: write a file in one step.
- `manifest`: build, compare and write `manifest.json`.
- `records`: read finished or unfinished runs (`load_runs`, `RecordedRun`).
- `merge`: join the shards of a run.
- `official_scores`: the official numbers of a suite from files of predictions.

Imports `eval.suites` and `eval.metrics` from below, and from `judge` the types, the errors, the rubrics, the
pipeline and the batch room.
"""
