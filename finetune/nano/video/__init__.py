"""Drawn clips as training data, and the adapter of the embedded judge for the rubric `video`.

Modules:
    measured_clips: a drawn clip with what a verdict would measure in it.
    clip_dataset: draws clips to disk with the features of their frames, and reads them back.
    clip_batches: tasks about clips, their rows, and an endless stream of batches.
    adapter_training: LoRA training of the adapter.

The room imports `finetune.nano` and its `data`, and `judge` (scenes, media, evidence, backends, rubrics).
"""
