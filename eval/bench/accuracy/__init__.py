"""Measurements of accuracy, one file for each part of the bench.

- `domain`: how often the embedded judge abstains, on drawings and on other images.
- `scenes`: drawn scenes with exact truth; `labelled_rows` reads labelled images of any renderer.
- `forms`: valid replies for random forms.
- `elements`: elements read from prompts.
- `photos`: photographs: opinions and strengths of distortions.
- `student`: a student compared with its teacher.
- `text`: drawn writing, by `drawn_text`.
- `video`: drawn clips.
- `looks`: closer looks at large images.
- `parity`: the same verdicts from several backends.
- `shifted`: LoRA training on a new rubric.

Imports `eval.metrics`, `eval.suites`, `finetune` and `judge`.
"""
