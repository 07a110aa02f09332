"""Interoperation with challenges and other tools.

- `submit`: the archive that a challenge asks for.
- `exports`: the regions of a run as COCO results or FiftyOne detections; the choice of the format.
- `label_studio`: the regions of a run as Label Studio tasks with predictions.
- `label_import`: corrected Label Studio annotations as labelled rows.
- `lmms_task`: a suite as a task of lmms-eval.
- `inspect_scorer`: a scorer for inspect-ai.
- `export_files`: JSON lists written row by row, and image names, shared by the exports.

Imports `eval.runs`, `eval.suites` and `eval.metrics` from below, and from `judge` the types, the errors, the
rubrics and the facade.
"""
