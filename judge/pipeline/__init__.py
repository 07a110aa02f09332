"""The pipeline between samples and a model: a sample becomes a request, a reply becomes a verdict.

Modules:
    pipeline: `Pipeline`, which prepares samples and turns replies into verdicts.
    model_info: `ModelInfo`, what the pipeline knows about a model before it calls it.
    prepared_sample: `PreparedSample`, a checked sample with its request.
    validation: checks of arguments and samples.
    prompt_reading: `PromptReader`, the text that the model is shown, and the elements to check.
    rows: reading samples from JSONL and CSV files.
    inputs: the images, videos and facts of a sample that a model receives.
    domain: tests of whether a sample is outside the embedded judge's training.
    parsing: a reply becomes the fields of a verdict.
    scoring: the rubric's rule applied to distributions; new scores after closer looks.
    distributions: operations on distributions over the labels 1 to 5.
    explanations: explanations made by the rubric's sentences, and after closer looks.
    calibration: the map from a model's scores to the human scale.
    comparison: requests that show two images together; `Comparison` of two verdicts or of two such replies.

Imports from below: `judge.elements`, `judge.backends`, `judge.rubrics`, `judge.evidence`, `judge.media`,
`judge.types`, `judge.errors`.
"""
