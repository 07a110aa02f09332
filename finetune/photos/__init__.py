"""Photographs as training data: distorted in known ways, or rated by people. `judge finetune photos --help`.

Modules:
    cli: the commands.
    image_jobs: makes one image with its labels: a distorted photograph, a rated photograph or a drawn scene.
    dataset: writes images and measures of many jobs to disk, and reads them back.
    estimators: fits the estimators of `judge.evidence.facts`.
    tasks: training prompts for the rubric `quality`, with their answers.
    features: cached features of the vision tower, and an endless stream of batches.
    adapter_training: LoRA training of the embedded judge's adapter for the rubric `quality`.
    student_images: image files for `judge finetune distill`.

The room imports `finetune.nano`, `eval.suites`, and `judge` (scenes, evidence, media, rubrics).
"""
